import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Attempt, Disposal, Events, Lease, LeaseRequest, QueuedEvent } from '../src/events.ts';
import type { Store } from '../src/store-types.ts';
import { attemptOf, queuedEvent } from './support/queued.ts';
import { DRIVERS, eventually, type State } from './support/stores.ts';

const HOUR_MS = 3_600_000;
const ONE: LeaseRequest = { count: 1, leaseMs: HOUR_MS, pace: undefined };
const MANY: LeaseRequest = { ...ONE, count: 50 };
const DELIVERED: Disposal = { state: 'delivered' };
const DEAD: Disposal = { state: 'dead' };
const OK = { status: 200, answer: Buffer.from('done') };

let state: State;
let store: Store;

const keyOf = ({ route, client, messageId }: QueuedEvent): string => `${route}\n${client}\n${messageId}`;

async function claimed(event: QueuedEvent, where = store, leaseMs = HOUR_MS) {
  const answer = await where.claim(keyOf(event), leaseMs);
  if (answer.state !== 'owned') throw new Error(`the claim is ${answer.state}`);
  return { key: keyOf(event), token: answer.token, rememberMs: HOUR_MS };
}
async function add(more: Partial<QueuedEvent> = {}, where = store): Promise<QueuedEvent> {
  const event = queuedEvent(more);
  await where.queue.accept(event, undefined);
  return event;
}
/** A few at a time: a driver beyond this process has to answer within its time. */
async function addMany(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 50)
    await Promise.all(
      Array.from({ length: Math.min(left, 50) }, () => store.queue.accept(queuedEvent(), undefined)),
    );
}
const lease = async (request = ONE, route = 'a', where = store): Promise<readonly Lease[]> =>
  (await where.queue.lease(route, request)).leases;
const idsOf = (leases: readonly Lease[]): string[] => leases.map(({ event }) => event.id);
async function leaseOne(route = 'a', where = store): Promise<Lease> {
  const [first] = await lease(ONE, route, where);
  if (first === undefined) throw new Error('nothing is due');
  return first;
}
const settle = (one: Lease, disposal: Disposal, more: Partial<Attempt> = {}): Promise<boolean> =>
  store.queue.settle(one, attemptOf(one, more), disposal);
const countsOf = async (route = 'a') => (await store.queue.counts()).find((one) => one.route === route);

describe.each(DRIVERS.filter(({ isMissing }) => !isMissing))('$name', (driver) => {
  beforeEach(async () => {
    state = await driver.fresh();
    store = await state.open();
  });
  afterEach(() => state.close());

  describe('a claim', () => {
    test('is owned by the first, and others wait for its outcome', async () => {
      const event = queuedEvent();
      const { key, token } = await claimed(event);
      const copy = await store.claim(key, HOUR_MS);
      if (copy.state !== 'in flight') throw new Error(copy.state);
      await store.keep(key, token, { status: 201 }, HOUR_MS);
      expect(await copy.settled).toMatchObject({ status: 201 });
      expect(await store.claim(key, HOUR_MS)).toEqual({ state: 'kept' });
    });

    test('that was released is the next one’s, and who waited hears why', async () => {
      const event = queuedEvent();
      const { key, token } = await claimed(event);
      const copy = await store.claim(key, HOUR_MS);
      if (copy.state !== 'in flight') throw new Error(copy.state);
      store.release(key, token, { reason: 'upstream.timeout' });
      expect(await copy.settled).toMatchObject({ reason: 'upstream.timeout' });
      await claimed(event);
    });

    test('that was overrun is the next one’s, and its late outcome changes nothing', async () => {
      const event = queuedEvent();
      const late = await claimed(event, store, 20);
      const { token } = await eventually(async () => {
        const answer = await store.claim(late.key, HOUR_MS);
        return answer.state === 'owned' ? answer : undefined;
      }, 'the end of the lease');
      await store.keep(late.key, late.token, { status: 200 }, HOUR_MS);
      expect((await store.claim(late.key, HOUR_MS)).state).toBe('in flight');
      store.release(late.key, late.token, { reason: 'upstream.timeout' });
      expect((await store.claim(late.key, HOUR_MS)).state).toBe('in flight');
      await store.keep(late.key, token, { status: 200 }, HOUR_MS);
      expect((await store.claim(late.key, HOUR_MS)).state).toBe('kept');
    });

    test('is kept for as long as its route remembers', async () => {
      const { key, token } = await claimed(queuedEvent());
      await store.keep(key, token, { status: 200 }, 300);
      expect((await store.claim(key, HOUR_MS)).state).toBe('kept');
      await eventually(
        async () => (await store.claim(key, HOUR_MS)).state === 'owned' || undefined,
        'forgetting',
      );
    });
  });

  describe('an accepted event', () => {
    test('is leased with all that it was accepted with', async () => {
      const body = Buffer.from(Array.from({ length: 70_000 }, (_, place) => place % 256));
      const event = queuedEvent({ body, client: 'x', orderKey: undefined, query: '?ü=%00' });
      await store.queue.accept(event, await claimed(event));
      const one = await leaseOne();
      expect(one).toMatchObject({ attempt: 1, step: 1 });
      expect(one.event).toEqual(event);
    });

    test('may lack everything that can be lacking', async () => {
      const event = queuedEvent({
        body: Buffer.alloc(0),
        messageId: undefined,
        eventType: undefined,
        certificate: undefined,
        secret: undefined,
        headers: [],
        query: '',
      });
      await store.queue.accept(event, undefined);
      expect((await leaseOne()).event).toEqual(event);
    });

    test('has its claim kept in the same step: a copy that waits hears 202, a later one is a duplicate', async () => {
      const event = queuedEvent();
      const claim = await claimed(event);
      const copy = await store.claim(claim.key, HOUR_MS);
      if (copy.state !== 'in flight') throw new Error(copy.state);
      await store.queue.accept(event, claim);
      expect(await copy.settled).toMatchObject({ status: 202 });
      expect(await store.claim(claim.key, HOUR_MS)).toEqual({ state: 'kept' });
    });

    test('is stored once, where it was claimed once more because the first was too late', async () => {
      const event = queuedEvent();
      const late = await claimed(event, store, 20);
      const { token } = await eventually(async () => {
        const answer = await store.claim(late.key, HOUR_MS);
        return answer.state === 'owned' ? answer : undefined;
      }, 'the end of the claim');
      await Promise.allSettled([store.queue.accept(event, late)]);
      await store.queue.accept({ ...event, id: randomUUID() }, { ...late, token });
      expect(await lease(MANY)).toHaveLength(1);
      expect(await countsOf()).toMatchObject({ waiting: 0, delivering: 1 });
      expect((await store.claim(late.key, HOUR_MS)).state).toBe('kept');
    });

    test('waits where its route’s worker alone finds it', async () => {
      const [mine, other] = [await add(), await add({ route: 'b' })];
      expect(idsOf(await lease(MANY))).toEqual([mine.id]);
      expect(idsOf(await lease(MANY, 'b'))).toEqual([other.id]);
    });

    test('is stored with others at once, each once', async () => {
      const events = Array.from({ length: 40 }, () => queuedEvent());
      await Promise.all(events.map((event) => store.queue.accept(event, undefined)));
      expect(new Set(idsOf(await lease(MANY)))).toEqual(new Set(events.map(({ id }) => id)));
    });
  });

  describe('an event that is accepted while its first delivery is under way', () => {
    const acceptLeased = async (event: QueuedEvent, leaseMs = HOUR_MS, where = store): Promise<Lease> =>
      where.queue.acceptLeased(event, await claimed(event, where), leaseMs);

    test('is leased to whoever delivers it from the start, with all that it was accepted with', async () => {
      const event = queuedEvent();
      const one = await acceptLeased(event);
      expect(one).toMatchObject({ event, attempt: 1, step: 1 });
      expect(await lease(MANY)).toEqual([]);
      expect(await countsOf()).toMatchObject({ waiting: 0, delivering: 1, dead: 0 });
      expect(await settle(one, { state: 'waiting', dueMs: Date.now() })).toBe(true);
      const again = await eventually(async () => (await lease())[0], 'the second attempt');
      expect(again).toMatchObject({ attempt: 2, step: 2, event });
      expect(await settle(again, DELIVERED, OK)).toBe(true);
      expect(await countsOf()).toMatchObject({ waiting: 0, delivering: 0, dead: 0 });
    });

    test.each([DELIVERED, DEAD])('is settled like any other: $state', async (disposal) => {
      const one = await acceptLeased(queuedEvent());
      expect(await settle(one, disposal, OK)).toBe(true);
      expect(await countsOf()).toMatchObject({ waiting: 0, delivering: 0, dead: disposal === DEAD ? 1 : 0 });
      expect(await store.queue.lease('a', MANY)).toEqual({ leases: [], againMs: undefined });
      expect(await settle(one, DELIVERED, OK)).toBe(false);
    });

    test('has its claim kept in the same step', async () => {
      const event = queuedEvent();
      const claim = await claimed(event);
      const copy = await store.claim(claim.key, HOUR_MS);
      if (copy.state !== 'in flight') throw new Error(copy.state);
      await store.queue.acceptLeased(event, claim, HOUR_MS);
      expect(await copy.settled).toMatchObject({ status: 202 });
      expect(await store.claim(claim.key, HOUR_MS)).toEqual({ state: 'kept' });
    });

    test('may have no claim', async () => {
      const event = queuedEvent({ messageId: undefined });
      const one = await store.queue.acceptLeased(event, undefined, HOUR_MS);
      expect(await lease(MANY)).toEqual([]);
      await store.queue.giveBack(one, Date.now());
      const again = await eventually(async () => (await lease())[0], 'its time');
      expect(again).toMatchObject({ attempt: 1, event });
    });

    test('is another’s when its lease has ended, as a second attempt, and cannot be settled then', async () => {
      const event = queuedEvent();
      // Received a while ago: the lease counts from now.
      const late = await acceptLeased({ ...event, receivedMs: Date.now() - 60_000 }, 100);
      expect(await lease()).toEqual([]);
      const again = await eventually(async () => (await lease())[0], 'the end of the lease');
      expect(again).toMatchObject({ attempt: 2, event: { id: event.id } });
      expect(await settle(late, DELIVERED, OK)).toBe(false);
      expect(await settle(again, DELIVERED, OK)).toBe(true);
    });

    test('is not stored where its claim is not its own any more', async () => {
      const event = queuedEvent();
      const late = await claimed(event, store, 20);
      const { token } = await eventually(async () => {
        const answer = await store.claim(late.key, HOUR_MS);
        return answer.state === 'owned' ? answer : undefined;
      }, 'the end of the claim');
      await expect(store.queue.acceptLeased(event, late, HOUR_MS)).rejects.toThrow(/overrun/);
      expect((await store.claim(late.key, HOUR_MS)).state).toBe('in flight');
      await store.keep(late.key, token, { status: 200 }, HOUR_MS);
      expect(await store.queue.lease('a', MANY)).toEqual({ leases: [], againMs: undefined });
    });
  });

  describe('a lease', () => {
    test('is of those that are due for longest, and of as many as were asked for', async () => {
      const events = [await add(), await add(), await add()];
      const [first, second, third] = events.map(({ id }) => id);
      expect(idsOf(await lease({ ...ONE, count: 2 }))).toEqual([first, second]);
      expect(idsOf(await lease(MANY))).toEqual([third]);
      expect(await store.queue.lease('a', MANY)).toMatchObject({ leases: [] });
    });

    test('is of one worker only, however many ask at once', async () => {
      const events = [];
      for (let place = 0; place < 30; place += 1) events.push(await add());
      const leased = await Promise.all(Array.from({ length: 12 }, () => lease({ ...ONE, count: 3 })));
      const ids = leased.flatMap(idsOf);
      expect(ids).toHaveLength(30);
      expect(new Set(ids)).toEqual(new Set(events.map(({ id }) => id)));
    });

    test('says when to ask again: not at all, or when the next one is due', async () => {
      expect(await store.queue.lease('a', ONE)).toEqual({ leases: [], againMs: undefined });
      await add();
      const one = await leaseOne();
      await settle(one, { state: 'waiting', dueMs: Date.now() + 400 });
      const { leases, againMs } = await store.queue.lease('a', ONE);
      expect(leases).toEqual([]);
      expect(againMs).toBeGreaterThan(0);
      expect(againMs).toBeLessThanOrEqual(400);
      await new Promise((resolve) => setTimeout(resolve, againMs));
      const again = await eventually(async () => (await lease())[0], 'the second attempt');
      expect(again).toMatchObject({ attempt: 2, step: 2, event: { id: one.event.id } });
    });

    test('that was overrun is another’s, and cannot be settled or given back', async () => {
      const event = await add();
      const [late] = await lease({ ...ONE, leaseMs: 20 });
      if (late === undefined) throw new Error('nothing is due');
      const again = await eventually(async () => (await lease())[0], 'the end of the lease');
      expect(again).toMatchObject({ attempt: 2, event: { id: event.id } });
      expect(await settle(late, DELIVERED, OK)).toBe(false);
      await store.queue.giveBack(late, Date.now());
      expect(await lease()).toEqual([]);
      expect(await countsOf()).toMatchObject({ waiting: 0, delivering: 1 });
      expect(await settle(again, DELIVERED, OK)).toBe(true);
      expect(await settle(again, DEAD)).toBe(false);
    });

    test('that is given back was no attempt', async () => {
      const event = await add();
      await store.queue.giveBack(await leaseOne(), Date.now());
      const again = await eventually(async () => (await lease())[0], 'its time');
      expect(again).toMatchObject({ attempt: 1, step: 1, event: { id: event.id } });
      await store.queue.giveBack(again, Date.now() + HOUR_MS);
      const { leases, againMs } = await store.queue.lease('a', ONE);
      expect(leases).toEqual([]);
      expect(againMs).toBeGreaterThan(HOUR_MS / 2);
    });

    test('keeps to the pace of its route', async () => {
      for (let place = 0; place < 12; place += 1) await add();
      await add({ route: 'b' });
      const slow = { ...MANY, pace: { count: 1, perMs: HOUR_MS } };
      expect(await lease(slow)).toHaveLength(1);
      const { leases, againMs } = await store.queue.lease('a', slow);
      expect(leases).toEqual([]);
      expect(againMs).toBeGreaterThan(HOUR_MS / 2);
      expect(againMs).toBeLessThanOrEqual(HOUR_MS);
      expect(await lease(slow, 'b')).toHaveLength(1);
    });

    test('spreads its pace: no more begin at one instant than fall into a tenth of a second', async () => {
      for (let place = 0; place < 12; place += 1) await add();
      // Four an hour are no burst of four; 50 a second are one each 20 ms, and so five in 100 ms.
      expect(await lease({ ...MANY, pace: { count: 4, perMs: HOUR_MS } })).toHaveLength(1);
      for (let place = 0; place < 12; place += 1) await add({ route: 'b' });
      expect(await lease({ ...MANY, pace: { count: 180_000, perMs: HOUR_MS } }, 'b')).toHaveLength(5);
    });
  });

  describe('what has been settled', () => {
    test('is counted where it is', async () => {
      const receivedMs = Date.now() - 60_000;
      await add({ receivedMs });
      for (let place = 0; place < 4; place += 1) await add();
      expect(await countsOf()).toMatchObject({ waiting: 5, delivering: 0, dead: 0, oldestMs: receivedMs });
      const [one, two] = await lease({ ...ONE, count: 3 });
      if (one === undefined || two === undefined) throw new Error('nothing is due');
      expect(await countsOf()).toMatchObject({ waiting: 2, delivering: 3, dead: 0 });
      await settle(one, DELIVERED, OK);
      await settle(two, DEAD);
      expect(await countsOf()).toMatchObject({ waiting: 2, delivering: 1, dead: 1 });
    });

    test('is not leased again', async () => {
      await add();
      await add();
      const [one, two] = await lease(MANY);
      if (one === undefined || two === undefined) throw new Error('nothing is due');
      await settle(one, DELIVERED, OK);
      await settle(two, DEAD);
      expect(await store.queue.lease('a', MANY)).toEqual({ leases: [], againMs: undefined });
    });
  });

  describe.runIf(driver.isOrdered)('events of one key', () => {
    const due = async (): Promise<string[]> => idsOf(await lease(MANY));
    const first = (): Promise<QueuedEvent> => add({ orderKey: 'k' });

    test('are leased one after the other in order of arrival, those of other keys and of none beside them', async () => {
      const [one, two, three] = [await first(), await first(), await first()];
      const others = [await add({ orderKey: 'other' }), await add()];
      const leases = await lease(MANY);
      expect(new Set(idsOf(leases))).toEqual(new Set([one, ...others].map(({ id }) => id)));
      expect(await countsOf()).toMatchObject({ waiting: 2, delivering: 3 });
      await settle(leases.find(({ event }) => event.id === one.id) as Lease, DELIVERED, OK);
      const next = await leaseOne();
      expect(next.event.id).toBe(two.id);
      await settle(next, DELIVERED, OK);
      expect(await due()).toEqual([three.id]);
    });

    test('wait for one that is tried again, and go on where that is a dead letter', async () => {
      const [one, two] = [await first(), await first()];
      await settle(await leaseOne(), { state: 'waiting', dueMs: Date.now() + 200 });
      expect(await due()).toEqual([]);
      const again = await eventually(async () => (await lease())[0], 'the second attempt');
      expect(again.event.id).toBe(one.id);
      await settle(again, DEAD);
      expect(await due()).toEqual([two.id]);
    });

    test('wake the worker when one’s time has come by another’s end', async () => {
      const [, two] = [await first(), await first()];
      const woken: string[] = [];
      store.queue.watch((route) => woken.push(route));
      await settle(await leaseOne(), DELIVERED, OK);
      expect(woken).toEqual(['a']);
      expect(await due()).toEqual([two.id]);
    });
  });

  describe.runIf(driver.isShared)('another gateway on the same state', () => {
    test('finds what was accepted and kept before a restart', async () => {
      const [event, tried] = [queuedEvent(), queuedEvent({ route: 'b' })];
      await store.queue.accept(event, await claimed(event));
      await store.queue.accept(tried, undefined);
      await settle(await leaseOne('b'), { state: 'waiting', dueMs: Date.now() });
      await store.close();
      store = await state.open();
      expect((await store.claim(keyOf(event), HOUR_MS)).state).toBe('kept');
      expect((await leaseOne()).event).toEqual(event);
      expect(await leaseOne('b')).toMatchObject({ attempt: 2, event: { id: tried.id } });
    });

    test('knows what the first has kept, and waits for what it has in flight', async () => {
      const other = await state.open();
      const event = queuedEvent();
      const claim = await claimed(event);
      const copy = await other.claim(claim.key, HOUR_MS);
      if (copy.state !== 'in flight') throw new Error(copy.state);
      await store.queue.accept(event, claim);
      expect(await copy.settled).toMatchObject({ status: 202 });
      expect((await other.claim(claim.key, HOUR_MS)).state).toBe('kept');
    });

    test('never gets an event that the first has leased', async () => {
      const other = await state.open();
      for (let place = 0; place < 20; place += 1) await add({}, place % 2 === 0 ? store : other);
      const both = await Promise.all(
        Array.from({ length: 10 }, (_, place) =>
          lease({ ...ONE, count: 3 }, 'a', place % 2 === 0 ? store : other),
        ),
      );
      const rest = [...(await lease(MANY)), ...(await lease(MANY, 'a', other))];
      const ids = [...both.flat(), ...rest].map(({ event }) => event.id);
      expect(ids).toHaveLength(20);
      expect(new Set(ids).size).toBe(20);
    });

    test('never gets one whose first delivery is under way at the first, and gets it at once when that is gone', async () => {
      const event = queuedEvent();
      await store.queue.acceptLeased(event, await claimed(event), HOUR_MS);
      const other = await state.open();
      expect((await other.claim(keyOf(event), HOUR_MS)).state).toBe('kept');
      expect(await lease(MANY, 'a', other)).toEqual([]);
      await store.close();
      const again = await eventually(async () => (await lease(ONE, 'a', other))[0], 'its end');
      expect(again).toMatchObject({ attempt: 2, event });
    });

    test('shares the pace of a route', async () => {
      const other = await state.open();
      for (let place = 0; place < 6; place += 1) await add();
      const slow = { ...MANY, pace: { count: 1, perMs: HOUR_MS } };
      expect(await lease(slow)).toHaveLength(1);
      expect(await lease(slow, 'a', other)).toEqual([]);
    });

    test('is woken by what the first accepts', async () => {
      const other = await state.open();
      // As a worker does when it begins.
      expect(await lease(ONE, 'b', other)).toEqual([]);
      const woken = new Promise<string>((resolve) => other.queue.watch(resolve));
      const event = await add({ route: 'b' });
      expect(await woken).toBe('b');
      expect((await leaseOne('b', other)).event.id).toBe(event.id);
    });
  });

  describe.runIf(driver.isShared)('the operator', () => {
    test('sees of an event what it is, where it is, and every attempt', async () => {
      const events = await state.events();
      const event = await add();
      expect((await events.list({}, 10)).events).toMatchObject([
        {
          id: event.id,
          state: 'waiting',
          attempts: 0,
          bytes: event.body.length,
          bodySha256: event.bodySha256,
        },
      ]);
      const one = await leaseOne();
      expect((await events.list({}, 10)).events).toMatchObject([{ state: 'delivering', attempts: 1 }]);
      const dueMs = Date.now() + 20;
      await settle(
        one,
        { state: 'waiting', dueMs },
        { status: undefined, reason: 'upstream.reset', detail: 'gone' },
      );
      expect((await events.list({}, 10)).events).toMatchObject([
        { state: 'waiting', dueMs, status: undefined, reason: 'upstream.reset' },
      ]);
      const two = await eventually(async () => (await lease())[0], 'the second attempt');
      const logged = [
        attemptOf(one, { status: undefined, reason: 'upstream.reset', detail: 'gone' }),
        attemptOf(two, OK),
      ];
      await settle(two, DELIVERED, OK);
      const [found] = await events.find(event.messageId as string);
      const { receivedMs, method, path, query, headers, body, certificate, secret, client, address } = event;
      expect(found).toMatchObject({
        ...{ id: event.id, state: 'delivered', attempts: 2, status: 200, dueMs: undefined, client, address },
        ...{ receivedMs, method, path, query, headers, body, certificate, secret },
        log: logged.map((attempt) => ({ ...attempt, startedMs: expect.any(Number) })),
      });
      expect(found?.finishedMs).toBeGreaterThanOrEqual(receivedMs);
      expect(await events.read(found?.place as string)).toEqual(found);
      expect(await events.find(event.id, 'b')).toEqual([]);
    });

    test('sees of an event whose first delivery was under way when it was accepted that it is being delivered', async () => {
      const events = await state.events();
      const event = queuedEvent();
      const one = await store.queue.acceptLeased(event, await claimed(event), HOUR_MS);
      expect((await events.list({}, 10)).events).toMatchObject([{ state: 'delivering', attempts: 1 }]);
      expect(await events.retry({})).toBe(0);
      expect(await events.discard({})).toBe(0);
      await settle(one, DELIVERED, OK);
      const [found] = await events.find(event.id);
      const log = [{ ...attemptOf(one, OK), startedMs: expect.any(Number) }];
      expect(found).toMatchObject({ state: 'delivered', attempts: 1, status: 200, log });
    });

    test('lists by route, state, type, id and time, the newest first, in pages', async () => {
      const events = await state.events();
      const nowMs = Date.now();
      const a = await add({ receivedMs: nowMs - 2 * HOUR_MS, eventType: 'invoice.made' });
      const b = await add({ receivedMs: nowMs - HOUR_MS, eventType: 'invoice.paid', route: 'b' });
      const c = await add({ receivedMs: nowMs, eventType: 'other' });
      await settle(await leaseOne('b'), DEAD);
      const ids = async (filter: Parameters<typeof events.list>[0]): Promise<string[]> =>
        (await events.list(filter, 10)).events.map(({ id }) => id);
      expect(await ids({})).toEqual([c.id, b.id, a.id]);
      expect(await ids({ route: 'b' })).toEqual([b.id]);
      expect(await ids({ states: ['dead', 'delivered'] })).toEqual([b.id]);
      expect(await ids({ states: ['waiting'] })).toEqual([c.id, a.id]);
      expect(await ids({ eventType: 'invoice.*' })).toEqual([b.id, a.id]);
      expect(await ids({ eventType: 'invoice.made' })).toEqual([a.id]);
      expect(await ids({ eventType: 'invoice' })).toEqual([]);
      expect(await ids({ id: a.messageId })).toEqual([a.id]);
      expect(await ids({ id: c.id })).toEqual([c.id]);
      expect(await ids({ fromMs: nowMs - HOUR_MS, toMs: nowMs })).toEqual([b.id]);
      expect(await ids({ finishedFromMs: nowMs - 1000 })).toEqual([b.id]);
      expect(await ids({ states: ['waiting'], eventType: 'other', route: 'a', fromMs: nowMs })).toEqual([
        c.id,
      ]);
      const first = await events.list({}, 2);
      expect(first.events.map(({ id }) => id)).toEqual([c.id, b.id]);
      const second = await events.list({}, 2, first.next);
      expect(second.events.map(({ id }) => id)).toEqual([a.id]);
      expect(second.next).toBeUndefined();
    });

    test('lists what is finished in the order of its end', async () => {
      const events = await state.events();
      for (let place = 0; place < 5; place += 1) await add();
      const leases = await lease(MANY);
      const order = [3, 0, 4, 1].map((place) => leases[place] as Lease);
      for (const [place, one] of order.entries()) {
        await settle(one, place % 2 === 0 ? DELIVERED : DEAD, OK);
        const endMs = Date.now();
        await eventually(() => Date.now() > endMs || undefined, 'the next millisecond');
      }
      const first = await events.list({}, 3, undefined, 'finished');
      expect(first.events.map(({ id }) => id)).toEqual(idsOf(order.slice(0, 3)));
      const second = await events.list({}, 3, first.next, 'finished');
      expect(second.events.map(({ id }) => id)).toEqual(idsOf(order.slice(3)));
      const dead = await events.list({ states: ['dead'] }, 3, undefined, 'finished');
      expect(dead.events.map(({ id }) => id)).toEqual(idsOf([order[1], order[3]] as Lease[]));
    });

    test('puts dead letters back: due at once, with a fresh schedule, and the worker is woken', async () => {
      const events = await state.events();
      const event = await add();
      await settle(await leaseOne(), DEAD);
      const woken = new Promise<string>((resolve) => store.queue.watch(resolve));
      expect(await events.retry({ states: ['delivered'] })).toBe(0);
      expect(await events.retry({ states: ['dead'], id: event.id })).toBe(1);
      expect(await woken).toBe('a');
      expect(await countsOf()).toMatchObject({ waiting: 1, dead: 0 });
      const again = await leaseOne();
      expect(again).toMatchObject({ attempt: 2, step: 1 });
      await settle(again, DELIVERED, OK);
      expect((await events.find(event.id))[0]?.log).toHaveLength(2);
    });

    test('makes due at once what waits for its next attempt', async () => {
      const events = await state.events();
      await add();
      await settle(await leaseOne(), { state: 'waiting', dueMs: Date.now() + HOUR_MS });
      expect(await lease()).toEqual([]);
      expect(await events.retry({ route: 'b' })).toBe(0);
      expect(await events.retry({ route: 'a' })).toBe(1);
      // Its schedule goes on: only a dead letter begins anew.
      expect(await leaseOne()).toMatchObject({ attempt: 2, step: 2 });
    });

    test('discards what waits or is dead, and neither what is being delivered nor what is', async () => {
      const events = await state.events();
      for (let place = 0; place < 4; place += 1) await add();
      const [dead, delivered, taken] = await lease({ ...ONE, count: 3 });
      await settle(dead as Lease, DEAD);
      await settle(delivered as Lease, DELIVERED, OK);
      expect(await events.discard({})).toBe(2);
      const left = (await events.list({}, 10)).events.map(({ id }) => id);
      expect(new Set(left)).toEqual(new Set(idsOf([delivered, taken] as Lease[])));
      expect(await countsOf()).toMatchObject({ waiting: 0, delivering: 1, dead: 0 });
      expect(await settle(taken as Lease, DELIVERED, OK)).toBe(true);
    });

    test('has a claim forgotten, so that a deliberate resend is delivered', async () => {
      const events = await state.events();
      const [event, other] = [queuedEvent({ client: 'c' }), queuedEvent({ client: 'c' })];
      await store.queue.accept(event, await claimed(event));
      await store.queue.accept(other, await claimed(other));
      expect(await events.forget('b', event.messageId as string)).toBe(0);
      expect(await events.forget('a', event.messageId as string)).toBe(1);
      expect(await events.forget('a', event.messageId as string)).toBe(0);
      await claimed(event);
      expect((await store.claim(keyOf(other), HOUR_MS)).state).toBe('kept');
      await store.close();
      store = await state.open();
      await claimed(event);
      expect((await store.claim(keyOf(other), HOUR_MS)).state).toBe('kept');
    });

    test.runIf(driver.isOrdered)(
      'puts a dead letter back before those of its key that came after it',
      async () => {
        const events = await state.events();
        const ids = [];
        for (let place = 0; place < 3; place += 1) ids.push((await add({ orderKey: 'k' })).id);
        await settle(await leaseOne(), DEAD);
        const second = await leaseOne();
        expect(second.event.id).toBe(ids[1]);
        await events.retry({ states: ['dead'] });
        expect(await lease(MANY)).toEqual([]);
        await settle(second, { state: 'waiting', dueMs: Date.now() });
        for (const id of ids) {
          const next = await leaseOne();
          expect(next.event.id).toBe(id);
          expect(await lease(MANY)).toEqual([]);
          await settle(next, DELIVERED, OK);
        }
      },
    );

    test.runIf(driver.isOrdered)(
      'puts one back before another of its key that waits for its next attempt',
      async () => {
        const events = await state.events();
        const [one, two] = [await add({ orderKey: 'k' }), await add({ orderKey: 'k' })];
        await settle(await leaseOne(), DEAD);
        await settle(await leaseOne(), { state: 'waiting', dueMs: Date.now() + HOUR_MS });
        await events.retry({ states: ['dead'] });
        const next = await leaseOne();
        expect(next.event.id).toBe(one.id);
        await settle(next, DELIVERED, OK);
        expect(await lease(MANY)).toEqual([]);
        await events.retry({ id: two.id });
        expect(idsOf(await lease(MANY))).toEqual([two.id]);
      },
    );

    test.runIf(driver.isOrdered)('lets the next of a key go on by discarding the one before it', async () => {
      const events = await state.events();
      const [one, two] = [await add({ orderKey: 'k' }), await add({ orderKey: 'k' })];
      await events.discard({ id: one.id });
      expect(idsOf(await lease(MANY))).toEqual([two.id]);
    });

    test('has many events put back and discarded', async () => {
      const events = await state.events();
      await addMany(500);
      for (const one of await lease({ ...ONE, count: 450 })) await settle(one, DEAD);
      expect(await events.retry({ states: ['dead'] })).toBe(450);
      expect(await countsOf()).toMatchObject({ waiting: 500, delivering: 0, dead: 0 });
      expect(await events.discard({ id: randomUUID() })).toBe(0);
      expect(await events.discard({})).toBe(500);
      expect(await countsOf()).toMatchObject({ waiting: 0, delivering: 0, dead: 0 });
    });

    test.runIf(driver.name === 'sqlite')('may do so while the gateway accepts and delivers', async () => {
      const events = await state.events();
      await addMany(500);
      for (const one of await lease({ ...ONE, count: 450 })) await settle(one, DEAD);
      const accepting = addMany(200);
      const retried = events.retry({ states: ['dead'] });
      let delivered = 0;
      const deliver = async () => {
        for (const one of await lease({ ...ONE, count: 20 })) {
          if (await settle(one, DELIVERED, OK)) delivered += 1;
        }
        return delivered >= 300 || undefined;
      };
      await eventually(deliver, '300 deliveries');
      await accepting;
      expect(await retried).toBe(450);
      expect(await countsOf()).toMatchObject({ waiting: 700 - delivered, delivering: 0, dead: 0 });
      expect(await events.discard({})).toBe(700 - delivered);
      expect((await events.list({}, 1000)).events).toHaveLength(delivered);
    });
  });

  describe('what is done with', () => {
    /** As the operator sees it, where somebody may look; else by what is counted. */
    const isGone = async (id: string): Promise<true | undefined> => {
      looking ??= await state.events();
      return (await looking.find(id)).length === 0 || undefined;
    };
    let looking: Events | undefined;
    afterEach(() => {
      looking = undefined;
    });

    test.runIf(driver.isShared).each([
      ['delivered events', { deliveredMs: 0, deadMs: HOUR_MS }, 'delivered'],
      ['dead letters', { deliveredMs: HOUR_MS, deadMs: 1 }, 'dead'],
    ] as const)('is removed after its time: %s by theirs', async (_which, retention, removed) => {
      await store.close();
      store = await state.open({ retention });
      const waiting = await add();
      const [delivered, dead] = [await add({ route: 'b' }), await add({ route: 'b' })];
      await settle(await leaseOne('b'), DELIVERED, OK);
      await settle(await leaseOne('b'), DEAD);
      await eventually(() => isGone((removed === 'dead' ? dead : delivered).id), 'the end of its time');
      const events = await state.events();
      const left = (await events.list({}, 10)).events.map(({ id }) => id);
      expect(left).toEqual([(removed === 'dead' ? delivered : dead).id, waiting.id]);
      expect(await countsOf('b')).toMatchObject({ waiting: 0, dead: removed === 'dead' ? 0 : 1 });
    });

    test.runIf(driver.boundsSize)('is removed where it takes up too much, the oldest first', async () => {
      await store.close();
      store = await state.open({ retention: { sizeBytes: 50_000 } });
      const body = Buffer.alloc(20_000, 'x');
      const ids: string[] = [];
      for (let place = 0; place < 4; place += 1) {
        ids.push((await add({ body })).id);
        await settle(await leaseOne(), DELIVERED, OK);
      }
      await eventually(() => isGone(ids[1] as string), 'the end of the oldest');
      const events = await state.events();
      const left = (await events.list({}, 10)).events.map(({ id }) => id);
      expect(left).toEqual([ids[3], ids[2]]);
    });

    test('leaves what waits alone', async () => {
      await store.close();
      if (driver.isShared)
        store = await state.open({ retention: { deliveredMs: 0, deadMs: 1, sizeBytes: 1 } });
      else store = await state.open({ retention: { deliveredMs: 0 } });
      const [event, other] = [await add(), await add()];
      const [one, two] = await lease(MANY);
      await settle(one as Lease, { state: 'waiting', dueMs: Date.now() });
      await settle(two as Lease, DELIVERED, OK);
      if (driver.isShared) await eventually(() => isGone(other.id), 'the end of the delivered one');
      const again = await eventually(async () => (await lease())[0], 'its time');
      expect(again.event).toEqual(event);
    });
  });
});
