import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readRedisUrl } from '../src/config/redis-url.ts';
import type { EventSummary, Events, Lease, LeaseRequest, Queue, QueuedEvent } from '../src/events.ts';
import type { RedisUrl } from '../src/state-settings.ts';
import { redisEvents } from '../src/store/redis/events.ts';
import { type RedisStateSettings, redisStore } from '../src/store/redis/open.ts';
import type { Store } from '../src/store-types.ts';
import { attemptOf, queuedEvent } from './support/queued.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';

type QueueStore = Store & { readonly queue: Queue };

const RETENTION = { deliveredMs: 3_600_000, deadMs: undefined, sizeBytes: undefined };
const ONE: LeaseRequest = { count: 1, leaseMs: 60_000, pace: undefined };
let prefixes = 0;

describe.skipIf(!hasRedis())('the operator’s side of the queue on Redis', () => {
  let redis: RedisServer;
  const open = new Set<{ close(): Promise<void> }>();
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterEach(async () => {
    await Promise.all([...open].map((one) => one.close()));
    open.clear();
  });

  async function openBoth(more: Partial<RedisStateSettings> = {}): Promise<[QueueStore, Events]> {
    prefixes += 1;
    const settings: RedisStateSettings = {
      driver: 'redis',
      url: readRedisUrl(redis.url) as RedisUrl,
      prefix: `e[v]*${prefixes}`,
      tls: undefined,
      keys: [],
      retention: RETENTION,
      ...more,
    };
    const silent = { warn: () => undefined, away: () => undefined, back: () => undefined };
    const store = (await redisStore(settings, silent)) as QueueStore;
    const events = await redisEvents(settings);
    open.add(store).add(events);
    return [store, events];
  }
  const keyOf = (event: QueuedEvent) => `${event.route}\n${event.client}\n${event.messageId}`;
  async function accept(store: QueueStore, event: QueuedEvent): Promise<void> {
    const answer = await store.claim(keyOf(event), 60_000);
    if (answer.state !== 'owned') throw new Error(`the claim is ${answer.state}`);
    await store.queue.accept(event, { key: keyOf(event), token: answer.token, rememberMs: 3_600_000 });
  }
  async function leaseOne(store: QueueStore, route = 'a'): Promise<Lease> {
    const { leases } = await store.queue.lease(route, ONE);
    expect(leases).toHaveLength(1);
    return leases[0] as Lease;
  }
  /** One event of each state, the newest last. */
  async function oneOfEach(store: QueueStore) {
    const at = Date.now() - 10_000;
    const made = (place: number) => queuedEvent({ receivedMs: at + place, eventType: `type.${place}` });
    const [delivered, dead, later, delivering, waiting] = [made(1), made(2), made(3), made(4), made(5)];
    for (const event of [delivered, dead, later, delivering, waiting]) await accept(store, event);
    const [first, second, third] = [await leaseOne(store), await leaseOne(store), await leaseOne(store)];
    await store.queue.settle(first, attemptOf(first, { status: 200 }), { state: 'delivered' });
    await store.queue.settle(second, attemptOf(second, { status: 410 }), { state: 'dead' });
    await store.queue.settle(third, attemptOf(third), { state: 'waiting', dueMs: at + 3_600_000 });
    await leaseOne(store);
    return { delivered, dead, later, delivering, waiting };
  }
  const idsOf = async (events: Events, filter: object) =>
    (await events.list(filter, 100)).events.map(({ id }) => id);

  test('the list has every event and state, the newest first, and filters narrow it', async () => {
    const [store, events] = await openBoth();
    const { delivered, dead, later, delivering, waiting } = await oneOfEach(store);
    const other = queuedEvent({ route: 'b', receivedMs: Date.now(), eventType: 'other' });
    await accept(store, other);
    const { events: all, next } = await events.list({}, 100);
    expect(next).toBeUndefined();
    expect(all.map(({ id, state, attempts, status }) => [id, state, attempts, status])).toEqual([
      [other.id, 'waiting', 0, undefined],
      [waiting.id, 'waiting', 0, undefined],
      [delivering.id, 'delivering', 1, undefined],
      [later.id, 'waiting', 1, 503],
      [dead.id, 'dead', 1, 410],
      [delivered.id, 'delivered', 1, 200],
    ]);
    expect(all[3]).toEqual({
      id: later.id,
      place: expect.any(String),
      route: 'a',
      client: '',
      messageId: later.messageId,
      eventType: 'type.3',
      state: 'waiting',
      receivedMs: later.receivedMs,
      bytes: later.body.length,
      attempts: 1,
      dueMs: later.receivedMs - 3 + 3_600_000,
      finishedMs: undefined,
      status: 503,
      reason: undefined,
      bodySha256: later.bodySha256,
      address: later.address,
      certificate: later.certificate,
      secret: later.secret,
    });
    expect(await idsOf(events, { route: 'b' })).toEqual([other.id]);
    expect(await idsOf(events, { states: ['dead', 'delivered'] })).toEqual([dead.id, delivered.id]);
    expect(await idsOf(events, { eventType: 'type.*', states: ['dead'] })).toEqual([dead.id]);
    expect(await idsOf(events, { eventType: 'type' })).toEqual([]);
    expect(await idsOf(events, { id: later.id })).toEqual([later.id]);
    expect(await idsOf(events, { id: later.messageId })).toEqual([later.id]);
    expect(await idsOf(events, { fromMs: dead.receivedMs, toMs: delivering.receivedMs })).toEqual([
      later.id,
      dead.id,
    ]);
    expect(await idsOf(events, { finishedFromMs: Date.now() - 5000 })).toEqual([dead.id, delivered.id]);
    expect(await idsOf(events, { finishedFromMs: Date.now() + 5000 })).toEqual([]);
  });

  test('pages give every event once, also many of one moment', async () => {
    const [store, events] = await openBoth();
    const receivedMs = Date.now();
    const ids = new Set<string>();
    for (let place = 0; place < 25; place++) {
      const event = queuedEvent({ receivedMs: receivedMs + (place > 20 ? 1 : 0) });
      ids.add(event.id);
      await accept(store, event);
    }
    const found: string[] = [];
    let after: string | undefined;
    do {
      const page = await events.list({ route: 'a' }, 4, after);
      expect(page.events.length).toBeLessThanOrEqual(4);
      found.push(...page.events.map(({ id }) => id));
      after = page.next;
    } while (after !== undefined);
    expect(found).toHaveLength(25);
    expect(new Set(found)).toEqual(ids);
  });

  test('what is finished is listed as it finished, over pages and routes, and what finishes meanwhile comes at the end', async () => {
    const [store, events] = await openBoth();
    const finish = async (count: number): Promise<string[]> => {
      const made = Array.from({ length: count }, (_, place) =>
        queuedEvent({ route: place % 3 === 0 ? 'b' : 'a' }),
      );
      await Promise.all(made.map((event) => accept(store, event)));
      const ids: string[] = [];
      for (const route of ['a', 'b']) {
        const { leases } = await store.queue.lease(route, { ...ONE, count });
        for (const [place, lease] of leases.entries()) {
          const state = place % 2 === 0 ? 'dead' : 'delivered';
          await store.queue.settle(lease, attemptOf(lease), { state });
          ids.push(lease.event.id);
        }
      }
      return ids;
    };
    const first = await finish(240);
    await accept(store, queuedEvent({ route: 'c' }));
    const page = await events.list({}, 7, undefined, 'finished');
    const later = await finish(5);
    const found = [...page.events];
    for (let after = page.next; after !== undefined; ) {
      const next = await events.list({}, 7, after, 'finished');
      found.push(...next.events);
      after = next.next;
    }
    const times = found.map(({ finishedMs }) => finishedMs ?? 0);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(new Set(found.map(({ id }) => id))).toEqual(new Set([...first, ...later]));
    expect(found).toHaveLength(245);
    const dead = await events.list({ states: ['dead'], route: 'b' }, 1000, undefined, 'finished');
    expect(dead.events).toEqual(found.filter(({ state, route }) => state === 'dead' && route === 'b'));
  });

  test('an event of a list is read whole, for as long as it is there', async () => {
    const [store, events] = await openBoth();
    const event = queuedEvent({ client: 'c' });
    await accept(store, event);
    const { place } = (await events.list({}, 1)).events[0] as EventSummary;
    expect(await events.read(place)).toMatchObject({ id: event.id, body: event.body, log: [] });
    await events.discard({});
    expect(await events.read(place)).toBeUndefined();
    expect(await events.read('nonsense')).toBeUndefined();
  });

  test('an event is found by either id, with its content and every attempt', async () => {
    const [store, events] = await openBoth();
    const event = queuedEvent({ client: 'cl[i]*ent', messageId: 'msg_[*?]' });
    await accept(store, event);
    await accept(store, queuedEvent({ client: 'other', messageId: 'msg_[*?]' }));
    await accept(store, queuedEvent({ messageId: 'msg_[x?]' }));
    const attempts = [];
    for (const status of [500, 502]) {
      const lease = (await store.queue.lease('a', { ...ONE, count: 3 })).leases.find(
        (one) => one.event.id === event.id,
      ) as Lease;
      const attempt = attemptOf(lease, {
        status,
        answer: Buffer.from([status % 256, 0, 255]),
        detail: 'why',
      });
      attempts.push(attempt);
      await store.queue.settle(lease, attempt, { state: 'waiting', dueMs: Date.now() });
    }
    const last = await leaseOne(store);
    const success = attemptOf(last, { status: 204 });
    await store.queue.settle(last, success, { state: 'delivered' });
    const [detail, ...others] = await events.find(event.id);
    expect(others).toEqual([]);
    expect(detail).toMatchObject({
      id: event.id,
      state: 'delivered',
      attempts: 3,
      status: 204,
      method: 'POST',
      path: '/a',
      query: '?x=1',
      headers: event.headers,
      body: event.body,
    });
    expect(detail?.log).toEqual([...attempts, success]);
    expect((await events.find('msg_[*?]')).map(({ client }) => client).sort()).toEqual([
      'cl[i]*ent',
      'other',
    ]);
    expect(await events.find('msg_[*?]', 'b')).toEqual([]);
    expect(await events.find('msg_')).toEqual([]);
  });

  test('retry puts dead letters back with a fresh schedule, and waiting ones are due at once, their schedule going on', async () => {
    const [store, events] = await openBoth();
    const { dead, later } = await oneOfEach(store);
    expect(await events.retry({ states: ['dead'], finishedFromMs: Date.now() + 5000 })).toBe(0);
    expect(await events.retry({ id: dead.id })).toBe(1);
    expect(await events.retry({ id: later.id })).toBe(1);
    const { leases } = await store.queue.lease('a', { ...ONE, count: 10 });
    const byId = new Map(leases.map((lease) => [lease.event.id, lease]));
    expect(byId.get(dead.id)).toMatchObject({ attempt: 2, step: 1 });
    expect(byId.get(later.id)).toMatchObject({ attempt: 2, step: 2 });
    expect(leases).toHaveLength(3);
    const again = byId.get(dead.id) as Lease;
    await store.queue.settle(again, attemptOf(again, { status: 200 }), { state: 'delivered' });
    const [detail] = await events.find(again.event.id);
    expect(detail?.log.map(({ number, status }) => [number, status])).toEqual([
      [1, 410],
      [2, 200],
    ]);
    expect(await events.retry({ states: ['delivered', 'delivering'] })).toBe(0);
  });

  test('discard removes what waits or is dead, and nothing else', async () => {
    const [store, events] = await openBoth();
    const { delivered, delivering } = await oneOfEach(store);
    expect(await events.discard({ route: 'b' })).toBe(0);
    expect(await events.discard({ route: 'a' })).toBe(3);
    expect(await idsOf(events, {})).toEqual([delivering.id, delivered.id]);
    expect((await store.queue.lease('a', { ...ONE, count: 10 })).leases).toEqual([]);
  });

  test('forget lets a message through again, of every client, and on its own route alone', async () => {
    const [store, events] = await openBoth();
    const event = queuedEvent({ messageId: 'msg_[*?]', client: 'c*' });
    const others = [
      queuedEvent({ messageId: 'msg_[*?]' }),
      queuedEvent({ messageId: 'msg_[*?]', route: 'b' }),
      queuedEvent({ messageId: 'msg_[x?]' }),
    ];
    for (const one of [event, ...others]) await accept(store, one);
    const { leases } = await store.queue.lease('a', { ...ONE, count: 10 });
    for (const lease of leases) await store.queue.settle(lease, attemptOf(lease), { state: 'delivered' });
    expect(await events.forget('a', 'msg_none')).toBe(0);
    expect(await events.forget('a', 'msg_[*?]')).toBe(2);
    await accept(store, { ...event, id: 'again' });
    expect((await leaseOne(store)).event.id).toBe('again');
    for (const one of others.slice(1)) expect(await store.claim(keyOf(one), 1000)).toEqual({ state: 'kept' });
    expect((await events.find('again')).map(({ state }) => state)).toEqual(['delivering']);
    expect(await events.find(event.id)).toEqual([]);
  });

  test('what was kept long enough is removed, dead letters only where that is said', async () => {
    const [store, events] = await openBoth({ retention: { ...RETENTION, deliveredMs: 100 } });
    const { dead, later, delivering, waiting } = await oneOfEach(store);
    const left = [waiting.id, delivering.id, later.id, dead.id];
    await expect.poll(() => idsOf(events, {}), { timeout: 10_000 }).toEqual(left);

    const [none, nothing] = await openBoth({ retention: { ...RETENTION, deliveredMs: 0, deadMs: 100 } });
    const rest = await oneOfEach(none);
    const keys = await redis.client().zcard(`{e[v]*${prefixes}}:events`);
    expect(keys).toBe(4);
    const kept = [rest.waiting.id, rest.delivering.id, rest.later.id];
    await expect.poll(() => idsOf(nothing, {}), { timeout: 10_000 }).toEqual(kept);
  });
});
