import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EventDetail, Lease, LeaseRequest, QueuedEvent } from '../src/events.ts';
import type { QuarantineBounds, Release } from '../src/quarantined.ts';
import type { Store } from '../src/store-types.ts';
import { attemptOf, queuedEvent } from './support/queued.ts';
import { DRIVERS, encryptionKey, eventually, type State } from './support/stores.ts';

const HOUR_MS = 3_600_000;
const MANY: LeaseRequest = { count: 50, leaseMs: HOUR_MS, pace: undefined };

let state: State;
let store: Store;

/** An event as the gateway hands it to a quarantine. */
const unproved = (more: Partial<QueuedEvent> = {}): QueuedEvent =>
  queuedEvent({
    secret: undefined,
    evidence: {
      authority: 'hooks.example.com',
      headers: ['host', 'hooks.example.com', 'webhook-signature', 'v1,ä'],
      certificate: {
        names: ['CN:codat'],
        publicKey: `sha256:${'cd'.repeat(32)}`,
        notAfterMs: 4_000_000_000_000,
      },
    },
    ...more,
  });
const boundsOf = (more: Partial<QuarantineBounds> = {}): QuarantineBounds => ({
  print: randomUUID(),
  limit: 10,
  ageMs: HOUR_MS,
  ...more,
});
async function put(
  more: Partial<QueuedEvent> = {},
  bounds: Partial<QuarantineBounds> = {},
): Promise<QueuedEvent> {
  const event = unproved(more);
  expect(await store.queue.quarantine(event, boundsOf(bounds))).toBe('stored');
  return event;
}
const lease = async (): Promise<readonly Lease[]> => (await store.queue.lease('a', MANY)).leases;
const countsOf = async () => (await store.queue.counts()).find(({ route }) => route === 'a');
const keyOf = ({ route, client, messageId }: QueuedEvent): string => `${route}\n${client}\n${messageId}`;
async function claimed(event: QueuedEvent, where = store) {
  const answer = await where.claim(keyOf(event), HOUR_MS);
  if (answer.state !== 'owned') throw new Error(`the claim is ${answer.state}`);
  return { key: keyOf(event), token: answer.token, rememberMs: HOUR_MS };
}
/** What a release of an event says of it, as the operator's command makes it. */
const releaseOf = (event: QueuedEvent, place: string, more: Partial<Release> = {}): Release => ({
  id: event.id,
  place,
  route: event.route,
  messageId: event.messageId,
  eventType: event.eventType,
  orderKey: undefined,
  secret: 2,
  forced: undefined,
  ...more,
});

describe.each(DRIVERS.filter(({ isMissing, isShared }) => !isMissing && isShared))(
  'the quarantine on $name',
  (driver) => {
    beforeEach(async () => {
      state = await driver.fresh();
      store = await state.open();
    });
    afterEach(() => state.close());

    async function seen({ id }: QueuedEvent): Promise<EventDetail> {
      const [event] = await (await state.events()).find(id);
      if (event === undefined) throw new Error('there is no such event');
      return event;
    }

    test('keeps all of an event, and nobody delivers it', async () => {
      const body = Buffer.from(Array.from({ length: 70_000 }, (_, place) => place % 256));
      const expiresMs = Date.now() + HOUR_MS;
      const event = await put({ body, client: 'x' });
      expect(await store.queue.lease('a', MANY)).toEqual({ leases: [], againMs: undefined });
      expect(await countsOf()).toMatchObject({ waiting: 0, dead: 0, quarantined: 1, oldestMs: undefined });
      await store.close();
      store = await state.open();
      const found = await seen(event);
      const { orderKey: _orderKey, forced: _forced, ...facts } = event;
      expect(found).toMatchObject({ ...facts, state: 'quarantined', attempts: 0, log: [] });
      expect([found.finishedMs, found.dueMs, found.forced]).toEqual([undefined, undefined, undefined]);
      expect(found.expiresMs).toBeGreaterThanOrEqual(expiresMs);
      const events = await state.events();
      expect((await events.list({ states: ['quarantined'] }, 10)).events).toHaveLength(1);
      expect(
        (await events.list({ states: ['waiting', 'delivering', 'dead', 'delivered'] }, 10)).events,
      ).toEqual([]);
      expect((await events.list({}, 10, undefined, 'finished')).events).toEqual([]);
    });

    test('claims nothing', async () => {
      const event = await put();
      await claimed(event);
    });

    test('takes no more than its limit, for each route, however many come at once by whichever gateway', async () => {
      const other = await state.open();
      const put = (place: number) =>
        (place % 2 === 0 ? store : other).queue.quarantine(unproved(), boundsOf({ limit: 7 }));
      const answers = await Promise.all(Array.from({ length: 20 }, (_, place) => put(place)));
      expect(answers.filter((answer) => answer === 'stored')).toHaveLength(7);
      expect(answers.filter((answer) => answer === 'full')).toHaveLength(13);
      expect(await countsOf()).toMatchObject({ quarantined: 7 });
      expect(await store.queue.quarantine(unproved({ route: 'b' }), boundsOf({ limit: 7 }))).toBe('stored');
    });

    test('stores a copy once, also where both come at once, and one of another route for itself', async () => {
      const bounds = boundsOf({ limit: 2 });
      const answers = await Promise.all(
        [unproved(), unproved()].map((one) => store.queue.quarantine(one, bounds)),
      );
      expect(answers.toSorted()).toEqual(['copy', 'stored']);
      const other = await state.open();
      expect(await other.queue.quarantine(unproved(), bounds)).toBe('copy');
      expect(await other.queue.quarantine(unproved({ route: 'b' }), bounds)).toBe('stored');
      expect(await countsOf()).toMatchObject({ quarantined: 1 });
    });

    test('releases an event with what was proved of it, due at once and its claim kept', async () => {
      const event = await put({ messageId: 'claimed', eventType: undefined });
      const { place } = await seen(event);
      const proved = { ...event, messageId: 'proved', eventType: 'claim.proved' };
      const claim = await claimed(proved);
      const woken: string[] = [];
      store.queue.watch((route) => woken.push(route));
      expect(await store.queue.release(releaseOf(proved, place), claim)).toBe('released');
      await eventually(() => woken.includes('a') || undefined, 'the worker being woken');
      const [one, ...others] = await lease();
      expect([one?.attempt, one?.step, others]).toEqual([1, 1, []]);
      expect(one?.event).toEqual({ ...proved, secret: 2, forced: undefined });
      expect(await countsOf()).toMatchObject({ waiting: 0, delivering: 1, quarantined: 0 });
      expect((await store.claim(claim.key, HOUR_MS)).state).toBe('kept');
      expect(await seen(event)).toMatchObject({ state: 'delivering', expiresMs: undefined });
      expect(await store.queue.settle(one as Lease, attemptOf(one as Lease), { state: 'delivered' })).toBe(
        true,
      );
      expect(await seen(event)).toMatchObject({
        state: 'delivered',
        secret: 2,
        finishedMs: expect.any(Number),
      });
    });

    test('wakes another gateway by a release, and its events go out once', async () => {
      const other = await state.open();
      const event = await put();
      const woken = Promise.withResolvers<string>();
      other.queue.watch((route) => woken.resolve(route));
      const release = releaseOf(event, (await seen(event)).place);
      expect(await store.queue.release(release, await claimed(event))).toBe('released');
      expect(await woken.promise).toBe('a');
      const leases = await eventually(async () => {
        const { leases } = await other.queue.lease('a', MANY);
        return leases.length > 0 ? leases : undefined;
      }, 'the released event');
      expect(leases.map((one) => one.event.id)).toEqual([event.id]);
      expect(await lease()).toEqual([]);
    });

    test('releases none that is gone, and its claim is free for another copy', async () => {
      const event = await put();
      const { place } = await seen(event);
      const events = await state.events();
      expect(await events.discard({ id: event.id })).toBe(1);
      const claim = await claimed(event);
      expect(await store.queue.release(releaseOf(event, place), claim)).toBe('gone');
      expect(await store.queue.release(releaseOf(event, place), undefined)).toBe('gone');
      store.release(claim.key, claim.token, { reason: 'gateway.error' });
      await claimed(event);
      expect(await lease()).toEqual([]);
    });

    test('releases none under a claim that was overrun', async () => {
      const event = await put();
      const late = { ...(await claimed(event)), token: 'another' };
      await expect(store.queue.release(releaseOf(event, (await seen(event)).place), late)).rejects.toThrow(
        /overrun/,
      );
      expect(await seen(event)).toMatchObject({ state: 'quarantined' });
      expect(await lease()).toEqual([]);
    });

    test('says who forced a release for as long as the event is known', async () => {
      const event = await put();
      const forced = { by: 'an operator', reason: 'ticket "4711"\n', atMs: 1_700_000_000_000 };
      const release = releaseOf(event, (await seen(event)).place, { forced, secret: undefined });
      expect(await store.queue.release(release, await claimed(event))).toBe('released');
      const [one] = await lease();
      expect(one?.event).toMatchObject({ forced, secret: undefined });
      await store.queue.settle(one as Lease, attemptOf(one as Lease), { state: 'dead' });
      expect(await (await state.events()).retry({ id: event.id })).toBe(1);
      expect((await lease())[0]?.event.forced).toEqual(forced);
      expect(await seen(event)).toMatchObject({ forced });
    });

    test('is not touched by a retry; what is discarded leaves its place to another', async () => {
      const event = await put({}, { limit: 1, print: 'p' });
      const events = await state.events();
      expect(await events.retry({})).toBe(0);
      expect(await store.queue.quarantine(unproved(), boundsOf({ limit: 1 }))).toBe('full');
      expect(await events.discard({ states: ['waiting', 'dead'] })).toBe(0);
      expect(await events.discard({ states: ['quarantined'] })).toBe(1);
      expect(await events.find(event.id)).toEqual([]);
      expect(await countsOf()).toMatchObject({ quarantined: 0 });
      await put({}, { limit: 1, print: 'p' });
    });

    test('removes what nobody released in its time, and says so', async () => {
      const [event, other] = [await put({}, { ageMs: 1 }), await put()];
      const events = await state.events();
      await eventually(async () => (await events.find(event.id)).length === 0 || undefined, 'its end');
      await eventually(() => state.warnings.length > 0 || undefined, 'a warning');
      expect(state.warnings).toEqual([
        '1 event of the route a lay in quarantine for as long as it keeps them, and nobody released them: removed',
      ]);
      expect((await events.list({}, 10)).events.map(({ id }) => id)).toEqual([other.id]);
      expect(await countsOf()).toMatchObject({ quarantined: 1 });
    });

    test('is encrypted with what else lies at rest, and opens with the key alone', async () => {
      await store.close();
      const keys = [encryptionKey(1)];
      store = await state.open({ keys });
      const body = Buffer.from(`a body of its own ${randomUUID()}`);
      const event = await put({ body });
      const [found] = await (await state.events({ keys })).find(event.id);
      expect(found).toMatchObject({ body, evidence: event.evidence });
      if (driver.name === 'sqlite') {
        const files = ['', '-wal'].map((end) => readFileSync(`${state.file}${end}`));
        expect(files.some((file) => file.includes(body))).toBe(false);
        expect(files.some((file) => file.includes('hooks.example.com'))).toBe(false);
        expect(files.some((file) => file.includes(event.id))).toBe(true);
      }
      const release = releaseOf(event, found?.place ?? '');
      expect(await store.queue.release(release, await claimed(event))).toBe('released');
      expect((await lease())[0]?.event.body).toEqual(body);
    });

    test.runIf(driver.isOrdered)('releases before those of its key that came after it', async () => {
      const event = await put();
      const later = [queuedEvent({ orderKey: 'k' }), queuedEvent({ orderKey: 'k' })];
      for (const one of later) await store.queue.accept(one, undefined);
      const release = releaseOf(event, (await seen(event)).place, { orderKey: 'k' });
      expect(await store.queue.release(release, await claimed(event))).toBe('released');
      for (const one of [event, ...later]) {
        const [next, ...others] = await lease();
        expect([next?.event.id, others]).toEqual([one.id, []]);
        await store.queue.settle(next as Lease, attemptOf(next as Lease), { state: 'delivered' });
      }
    });

    test.runIf(driver.name === 'redis')(
      'takes for a duplicate what is a job already, be its claim gone',
      async () => {
        const event = await put();
        const copy = queuedEvent({ messageId: event.messageId, receivedMs: event.receivedMs });
        await store.queue.accept(copy, undefined);
        const release = releaseOf(event, (await seen(event)).place);
        expect(await store.queue.release(release, await claimed(event))).toBe('duplicate');
        expect(await lease()).toHaveLength(1);
        expect(await seen(event)).toMatchObject({ state: 'quarantined' });
      },
    );

    test.runIf(driver.name === 'redis')(
      'goes on with a release that was cut off behind its first step',
      async () => {
        const event = await put();
        const { place } = await seen(event);
        await store.queue.accept({ ...event, secret: 2 }, undefined);
        expect(await store.queue.release(releaseOf(event, place), await claimed(event))).toBe('released');
        expect(await lease()).toHaveLength(1);
        expect(await countsOf()).toMatchObject({ delivering: 1, quarantined: 0 });
        expect((await store.claim(keyOf(event), HOUR_MS)).state).toBe('kept');
      },
    );
  },
);
