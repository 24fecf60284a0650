import { spawn } from 'node:child_process';
import { createSecretKey, hash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readRedisUrl } from '../src/config/redis-url.ts';
import type { Lease, LeaseRequest, Queue, QueuedEvent } from '../src/events.ts';
import type { EncryptionKey, RedisUrl } from '../src/state-settings.ts';
import { type RedisStateSettings, redisStore } from '../src/store/redis/open.ts';
import type { Store } from '../src/store-types.ts';
import { attemptOf, queuedEvent } from './support/queued.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';

type QueueStore = Store & { readonly queue: Queue };

const RETENTION = { deliveredMs: 3_600_000, deadMs: undefined, sizeBytes: undefined };
const ONE: LeaseRequest = { count: 1, leaseMs: 60_000, pace: undefined };
const MANY: LeaseRequest = { ...ONE, count: 50 };
let prefixes = 0;

function keyOf(fill: number): EncryptionKey {
  const bytes = Buffer.alloc(32, fill);
  return { id: hash('sha256', bytes).slice(0, 8), key: createSecretKey(bytes) };
}

describe.skipIf(!hasRedis())('the queue on Redis', () => {
  let redis: RedisServer;
  const open = new Set<Store>();
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterEach(async () => {
    await Promise.all([...open].map((store) => store.close()));
    open.clear();
  });

  const settings = (more: Partial<RedisStateSettings> = {}): RedisStateSettings => ({
    driver: 'redis',
    url: readRedisUrl(redis.url) as RedisUrl,
    prefix: `test${prefixes}`,
    tls: undefined,
    keys: [],
    retention: RETENTION,
    ...more,
  });
  async function another(more: Partial<RedisStateSettings> = {}): Promise<QueueStore> {
    const silent = { warn: () => undefined, away: () => undefined, back: () => undefined };
    const store = (await redisStore(settings(more), silent)) as QueueStore;
    open.add(store);
    return store;
  }
  function fresh(more: Partial<RedisStateSettings> = {}): Promise<QueueStore> {
    prefixes += 1;
    return another(more);
  }
  async function claimed(store: QueueStore, event: QueuedEvent, rememberMs = 3_600_000) {
    const key = `${event.route}\n${event.client}\n${event.messageId}`;
    const answer = await store.claim(key, 60_000);
    return answer.state === 'owned' ? { key, token: answer.token, rememberMs } : answer.state;
  }
  async function accept(store: QueueStore, event: QueuedEvent, rememberMs?: number): Promise<void> {
    const claim = await claimed(store, event, rememberMs);
    if (typeof claim === 'string') throw new Error(`the claim is ${claim}`);
    await store.queue.accept(event, claim);
  }
  async function leaseOne(store: QueueStore, route = 'a'): Promise<Lease> {
    const { leases } = await store.queue.lease(route, ONE);
    expect(leases).toHaveLength(1);
    return leases[0] as Lease;
  }

  async function loseClaims(): Promise<void> {
    const client = redis.client();
    const keys = await client.keys(`{test${prefixes}}:claim:*`);
    expect(keys.length).toBeGreaterThan(0);
    await client.del(...keys);
  }

  test.each([
    ['readable', []],
    ['encrypted', [keyOf(1), keyOf(2)]],
  ])('an event comes out as it went in, and its claim is kept (%s)', async (_name, keys) => {
    const store = await fresh({ keys });
    const event = queuedEvent({ body: Buffer.from([0, 255, 254, 10, 13, 128]) });
    const bare = queuedEvent({
      messageId: undefined,
      eventType: undefined,
      certificate: undefined,
      secret: undefined,
      body: Buffer.alloc(0),
    });
    await accept(store, event);
    await store.queue.accept(bare, undefined);
    expect(await claimed(store, event)).toBe('kept');
    const { leases, againMs } = await store.queue.lease('a', MANY);
    expect(leases.map((lease) => lease.event)).toEqual([event, bare]);
    expect(leases.map(({ attempt, step }) => [attempt, step])).toEqual([
      [1, 1],
      [1, 1],
    ]);
    expect(againMs).toBeUndefined();
    expect((await store.queue.lease('a', MANY)).leases).toEqual([]);
    expect((await store.queue.lease('b', MANY)).leases).toEqual([]);
  });

  test('a copy of what waits, or was delivered in this time, is not a second event', async () => {
    const store = await fresh();
    const event = queuedEvent();
    await accept(store, event);
    // As if the claim had been lost before it was kept.
    await loseClaims();
    await accept(store, { ...event, id: 'copy' });
    const lease = await leaseOne(store);
    expect(lease.event.id).toBe(event.id);
    expect(await store.queue.settle(lease, attemptOf(lease, { status: 200 }), { state: 'delivered' })).toBe(
      true,
    );
    await loseClaims();
    await accept(store, { ...event, id: 'copy' });
    expect((await store.queue.lease('a', MANY)).leases).toEqual([]);
  });

  test('a message that comes again when it need not be remembered any more is delivered again', async () => {
    const store = await fresh();
    const event = queuedEvent();
    await accept(store, event, 50);
    const lease = await leaseOne(store);
    await store.queue.settle(lease, attemptOf(lease, { status: 200 }), { state: 'delivered' });
    await pause(60);
    await accept(store, { ...event, id: 'again', receivedMs: event.receivedMs + 60 }, 50);
    expect((await leaseOne(store)).event.id).toBe('again');
  });

  test('a failed delivery is due again at its time, with what is known of it', async () => {
    const store = await fresh();
    await accept(store, queuedEvent());
    const first = await leaseOne(store);
    const dueMs = Date.now() + 300;
    expect(await store.queue.settle(first, attemptOf(first), { state: 'waiting', dueMs })).toBe(true);
    const early = await store.queue.lease('a', ONE);
    expect(early.leases).toEqual([]);
    expect(early.againMs).toBeGreaterThan(0);
    expect(early.againMs).toBeLessThanOrEqual(300);
    await pause(early.againMs);
    const second = await leaseOne(store);
    expect([second.attempt, second.step]).toEqual([2, 2]);
    expect(Date.now()).toBeGreaterThanOrEqual(dueMs);
  });

  test('what is given back was never attempted', async () => {
    const store = await fresh();
    await accept(store, queuedEvent());
    const first = await leaseOne(store);
    await store.queue.giveBack(first, Date.now());
    const second = await leaseOne(store);
    expect([second.attempt, second.event.id]).toEqual([1, first.event.id]);
  });

  test('an overrun lease is taken over, and settles nothing any more', async () => {
    const [a, b] = [await fresh(), await another()];
    await accept(a, queuedEvent());
    const { leases } = await a.queue.lease('a', { ...ONE, leaseMs: 100 });
    expect((await b.queue.lease('a', ONE)).leases).toEqual([]);
    await pause(120);
    const [old, taken] = [leases[0] as Lease, await leaseOne(b)];
    expect([taken.event.id, taken.attempt]).toEqual([old.event.id, 2]);
    expect(await a.queue.settle(old, attemptOf(old), { state: 'delivered' })).toBe(false);
    expect(await b.queue.settle(taken, attemptOf(taken), { state: 'delivered' })).toBe(true);
  });

  test('two gateways never both lease one event', async () => {
    const both = [await fresh(), await another()];
    const [a] = both as [QueueStore];
    await Promise.all(Array.from({ length: 60 }, () => accept(a, queuedEvent())));
    const ids: string[] = [];
    while (ids.length < 60) {
      const answers = await Promise.all(both.map((store) => store.queue.lease('a', { ...ONE, count: 7 })));
      ids.push(...answers.flatMap(({ leases }) => leases.map(({ event }) => event.id)));
    }
    expect(new Set(ids).size).toBe(60);
    expect(ids).toHaveLength(60);
  });

  test('a pace is one for all gateways together', async () => {
    const [a, b] = [await fresh(), await another()];
    await Promise.all(Array.from({ length: 6 }, () => accept(a, queuedEvent())));
    const paced = { ...MANY, pace: { count: 4, perMs: 60_000 } };
    const first = await a.queue.lease('a', paced);
    const second = await b.queue.lease('a', paced);
    const third = await a.queue.lease('a', paced);
    expect([first, second, third].map(({ leases }) => leases.length)).toEqual([1, 0, 0]);
    // 60 s over 4: the next one after at most that.
    for (const { againMs } of [first, second, third]) {
      expect(againMs).toBeGreaterThan(10_000);
      expect(againMs).toBeLessThanOrEqual(15_000);
    }
  });

  test('what was not there to be delivered takes nothing of the pace', async () => {
    const store = await fresh();
    // Four may begin at one instant, and the next 25 ms after.
    const paced = { ...MANY, pace: { count: 144_000, perMs: 3_600_000 } };
    const slow = { ...MANY, pace: { count: 1, perMs: 60_000 } };
    expect((await store.queue.lease('a', slow)).leases).toEqual([]);
    for (let count = 0; count < 4; count++) await accept(store, queuedEvent());
    expect((await store.queue.lease('a', paced)).leases).toHaveLength(4);
  });

  test('another gateway is woken by what is accepted, due and taken over', async () => {
    const [a, b] = [await fresh(), await another()];
    const woken = async (act: () => Promise<unknown>) => {
      const wake = Promise.withResolvers<string>();
      let isArmed = true;
      b.queue.watch((route) => isArmed && wake.resolve(route));
      await act();
      expect(await wake.promise).toBe('a');
      isArmed = false;
    };
    expect((await b.queue.lease('a', ONE)).leases).toEqual([]);
    await woken(() => accept(a, queuedEvent()));
    const lease = await leaseOne(b);
    await woken(() => b.queue.settle(lease, attemptOf(lease), { state: 'waiting', dueMs: Date.now() + 100 }));
    await leaseOne(b);
    await accept(a, queuedEvent());
    await a.queue.lease('a', { ...ONE, leaseMs: 100 });
    await woken(() => pause(0));
    await leaseOne(b);
  });

  test('what a process of this machine held that is gone is free at once', async () => {
    const store = await fresh();
    const event = queuedEvent();
    await accept(store, event);
    const script = `
      import { redisStore } from ${JSON.stringify(new URL('../src/store/redis/open.ts', import.meta.url).href)};
      const notes = { warn() {}, away() {}, back() {} };
      const store = await redisStore(${JSON.stringify({ ...settings(), keys: [] })}, notes);
      const { leases } = await store.queue.lease('a', ${JSON.stringify(ONE)});
      console.log(leases.length);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = await once(child.stdout, 'data');
    expect(String(said)).toBe('1\n');
    expect((await store.queue.lease('a', ONE)).leases).toEqual([]);
    child.kill('SIGKILL');
    await once(child, 'close');
    const lease = await leaseOne(store);
    expect([lease.event.id, lease.attempt]).toEqual([event.id, 2]);
  });

  test('counts tell of every route', async () => {
    const store = await fresh();
    expect(await store.queue.counts()).toEqual([]);
    const oldest = queuedEvent({ receivedMs: 1_700_000_000_000 });
    await accept(store, oldest);
    for (let count = 0; count < 4; count++) await accept(store, queuedEvent());
    await accept(store, queuedEvent({ route: 'b' }));
    const [first, second] = (await store.queue.lease('a', { ...ONE, count: 2 })).leases as [Lease, Lease];
    await store.queue.settle(second, attemptOf(second), { state: 'dead' });
    expect(await store.queue.counts()).toEqual([
      { route: 'a', waiting: 3, delivering: 1, dead: 1, quarantined: 0, oldestMs: expect.any(Number) },
      { route: 'b', waiting: 1, delivering: 0, dead: 0, quarantined: 0, oldestMs: expect.any(Number) },
    ]);
    await store.queue.settle(first, attemptOf(first), { state: 'waiting', dueMs: Date.now() + 60_000 });
    expect((await store.queue.counts())[0]).toMatchObject({
      waiting: 4,
      delivering: 0,
      oldestMs: oldest.receivedMs,
    });
  });

  test('Redis killed and started again: what was accepted is there, and nothing was accepted meanwhile', async () => {
    const store = await fresh();
    const [first, second] = [queuedEvent(), queuedEvent()];
    await accept(store, first);
    const lease = await leaseOne(store);
    await accept(store, second);
    await redis.kill9();
    await expect(store.queue.accept(queuedEvent({ messageId: undefined }), undefined)).rejects.toThrow(
      /^redis: /,
    );
    await expect(store.queue.lease('a', ONE)).rejects.toThrow(/^redis: /);
    await expect(store.queue.settle(lease, attemptOf(lease), { state: 'dead' })).rejects.toThrow(/^redis: /);
    await expect(store.queue.counts()).rejects.toThrow(/^redis: /);
    await redis.start();
    await expect.poll(() => store.problem(), { timeout: 10_000 }).toBeUndefined();
    expect(await store.queue.settle(lease, attemptOf(lease), { state: 'delivered' })).toBe(true);
    expect((await leaseOne(store)).event).toEqual(second);
    expect(await claimed(store, second)).toBe('kept');
    expect((await store.queue.lease('a', MANY)).leases).toEqual([]);
  });

  test('a Redis that hangs: an event that was refused meanwhile is not delivered when it goes on', async () => {
    const store = await fresh();
    const unsigned = queuedEvent({ messageId: undefined });
    await accept(store, queuedEvent());
    redis.signal('SIGSTOP');
    await expect(store.queue.accept(unsigned, undefined)).rejects.toThrow(/no answer within 500 ms/);
    await expect(store.queue.accept({ ...unsigned, id: 'other' }, undefined)).rejects.toThrow(/^redis: /);
    redis.signal('SIGCONT');
    await expect.poll(() => store.problem(), { timeout: 10_000 }).toBeUndefined();
    await expect.poll(async () => (await store.queue.counts())[0]?.waiting, { timeout: 10_000 }).toBe(1);
    expect((await store.queue.lease('a', MANY)).leases).toHaveLength(1);
  });

  test('an event whose key is not at hand waits, and says so', async () => {
    const store = await fresh({ keys: [keyOf(1)] });
    await accept(store, queuedEvent());
    const warnings: string[] = [];
    const notes = {
      warn: (text: string) => warnings.push(text),
      away: () => undefined,
      back: () => undefined,
    };
    const other = (await redisStore(settings({ keys: [keyOf(2)] }), notes)) as QueueStore;
    open.add(other);
    const { leases, againMs } = await other.queue.lease('a', MANY);
    expect([leases, againMs]).toEqual([[], expect.any(Number)]);
    expect(warnings).toEqual([
      expect.stringMatching(/^route a: .*encrypted with the key [0-9a-f]{8}, which is not/),
    ]);
    expect((await store.queue.counts())[0]).toMatchObject({ waiting: 1, delivering: 0 });
  });
});
