import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { QueuedEvent } from '../src/events.ts';
import type { EncryptionKey } from '../src/state-settings.ts';
import { sealer } from '../src/store/seal.ts';
import type { Store } from '../src/store-types.ts';
import { attemptOf, queuedEvent } from './support/queued.ts';
import { encryptionKey, eventually, freshSqlite, type State } from './support/stores.ts';

const [OLD, NEW] = [encryptionKey(1), encryptionKey(2)];
const MANY = { count: 50, leaseMs: 60_000, pace: undefined };

let state: State;
beforeEach(async () => {
  state = await freshSqlite();
});
afterEach(() => state.close());

async function accepted(store: Store, more: Partial<QueuedEvent> = {}): Promise<QueuedEvent> {
  const event = queuedEvent(more);
  await store.queue.accept(event, undefined);
  return event;
}
const leased = async (store: Store): Promise<QueuedEvent[]> =>
  (await store.queue.lease('a', MANY)).leases.map(({ event }) => event);
const waitingOf = async (store: Store): Promise<number | undefined> =>
  (await store.queue.counts()).find(({ route }) => route === 'a')?.waiting;

describe('with state.encryption_key', () => {
  /** Accepts an event that is marked all over, and fails to deliver it. */
  async function marked(keys: readonly EncryptionKey[]): Promise<{ event: QueuedEvent; bytes: Buffer }> {
    const store = await state.open({ keys });
    const event = await accepted(store, {
      path: '/MARK-path',
      query: '?MARK-query',
      headers: ['x-mark', 'MARK-header'],
      body: Buffer.from('{"MARK-body":1}'),
    });
    const [lease] = (await store.queue.lease('a', MANY)).leases;
    if (lease === undefined) throw new Error('nothing is due');
    const attempt = attemptOf(lease, { answer: Buffer.from('MARK-answer'), detail: 'MARK-detail' });
    await store.queue.settle(lease, attempt, { state: 'dead' });
    const bytes = filesOf(state);
    await store.close();
    return { event, bytes: Buffer.concat([bytes, filesOf(state)]) };
  }

  test('nothing that an event carries, nor its hash, nor what its upstream said, stands in the files', async () => {
    const { event, bytes } = await marked([NEW]);
    expect(bytes.includes(event.id)).toBe(true);
    for (const text of ['MARK', 'x-mark', event.bodySha256])
      expect([text, bytes.includes(text)]).toEqual([text, false]);
    expect(bytes.includes(Buffer.from(event.bodySha256, 'hex'))).toBe(false);
    const events = await state.events({ keys: [NEW] });
    const [found] = await events.find(event.id);
    expect(found).toMatchObject({
      ...{ path: event.path, query: event.query, headers: event.headers, body: event.body },
      bodySha256: event.bodySha256,
      log: [{ detail: 'MARK-detail', answer: Buffer.from('MARK-answer') }],
    });
    expect((await events.list({}, 1)).events).toMatchObject([{ bodySha256: event.bodySha256 }]);
  });

  test('without it, all of that does: this test would see it', async () => {
    const { event, bytes } = await marked([]);
    const marks = ['path', 'query', 'header', 'body', 'answer', 'detail'].map((name) => `MARK-${name}`);
    for (const text of [...marks, event.bodySha256])
      expect([text, bytes.includes(text)]).toEqual([text, true]);
  });

  test('events are delivered that were stored before it was set, and with an earlier key of the list', async () => {
    const stored: QueuedEvent[] = [];
    for (const keys of [[], [OLD], [NEW, OLD]]) {
      const store = await state.open({ keys });
      stored.push(await accepted(store));
      await store.close();
    }
    const store = await state.open({ keys: [NEW, OLD] });
    expect(await leased(store)).toEqual(stored);
    expect(state.warnings).toEqual([]);
  });

  test('events whose key is missing wait, are told of at the start, hold up no others, and go on when it is back', async () => {
    const before = await state.open({ keys: [OLD] });
    const sealed = [await accepted(before), await accepted(before)];
    const [lease] = (await before.queue.lease('a', { ...MANY, count: 1 })).leases;
    await before.queue.giveBack(lease as NonNullable<typeof lease>, Date.now());
    await before.close();

    const without = await state.open({ keys: [NEW] });
    expect(state.warnings).toEqual([
      `2 events that are not delivered: encrypted with the key ${OLD.id}, which is not in state.encryption_key; add it after the others`,
    ]);
    const readable = await accepted(without);
    expect(await leased(without)).toEqual([readable]);
    expect(await without.queue.lease('a', MANY)).toMatchObject({ leases: [] });
    expect(await waitingOf(without)).toBe(2);
    const events = await state.events({ keys: [NEW] });
    const [found] = await events.find(sealed[0]?.id as string);
    expect(found).toMatchObject({
      state: 'waiting',
      attempts: 0,
      bodySha256: '',
      path: '',
      body: Buffer.alloc(0),
    });
    expect(found?.unreadable).toContain(OLD.id);
    await without.close();

    const again = await state.open({ keys: [NEW, OLD] });
    const ids: string[] = [];
    const isComplete = async () => {
      ids.push(...(await leased(again)).map(({ id }) => id));
      return ids.length >= 3 || undefined;
    };
    await eventually(isComplete, 'all three events');
    expect(new Set(ids)).toEqual(new Set([readable, ...sealed].map(({ id }) => id)));
  });

  test('those that come after one whose key is missing, in its order, wait with it', async () => {
    const before = await state.open({ keys: [OLD] });
    const sealed = await accepted(before, { orderKey: 'k' });
    await before.close();
    const without = await state.open();
    const next = await accepted(without, { orderKey: 'k' });
    expect(await leased(without)).toEqual([]);
    expect(await leased(without)).toEqual([]);
    const events = await state.events();
    expect(await events.discard({ id: sealed.id })).toBe(1);
    expect(await leased(without)).toEqual([next]);
  });

  test('an event that was altered, or whose payload is another’s, is not delivered, and that is told', async () => {
    const store = await state.open({ keys: [NEW] });
    const events = [await accepted(store), await accepted(store), await accepted(store)];
    const database = new DatabaseSync(state.file);
    database.exec('UPDATE payloads SET body = (SELECT body FROM payloads WHERE seq = 2) WHERE seq = 1');
    database.exec(
      "UPDATE payloads SET head = CAST(substr(head, 1, 30) || x'00' || substr(head, 32) AS BLOB) WHERE seq = 2",
    );
    database.close();
    expect(await leased(store)).toEqual([events[2]]);
    expect(await leased(store)).toEqual([]);
    expect(await waitingOf(store)).toBe(2);
    expect(state.warnings).toHaveLength(2);
    for (const [place, warning] of state.warnings.entries())
      expect(warning).toBe(
        `event ${events[place]?.id} of the route a is not delivered: cannot be decrypted: it was altered, or the file is damaged`,
      );
  });
});

describe('a sealed piece', () => {
  test('opens as what it was, and not where a bit or its place is another', () => {
    const { seal, open } = sealer([NEW]);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.string(),
        fc.string(),
        fc.nat(),
        (bytes, place, other, at) => {
          const plain = Buffer.from(bytes);
          const sealed = seal(plain, place);
          expect(open(sealed, place)).toEqual(plain);
          if (other !== place) expect(() => open(sealed, other)).toThrow();
          const flipped = Buffer.from(sealed);
          const byte = at % flipped.length;
          flipped[byte] = (flipped[byte] ?? 0) ^ (1 << (at % 8));
          expect(() => open(flipped, place)).toThrow();
          expect(() => open(sealed.subarray(0, byte), place)).toThrow();
        },
      ),
    );
  });

  test('is another each time, and names its key', () => {
    const { seal } = sealer([NEW, OLD]);
    const pieces = Array.from({ length: 100 }, () => seal(Buffer.from('same'), 'place').toString('hex'));
    expect(new Set(pieces).size).toBe(100);
    for (const piece of pieces) expect(piece.startsWith(`01${NEW.id}`)).toBe(true);
    expect(() => sealer([OLD]).open(Buffer.from(pieces[0] ?? '', 'hex'), 'place')).toThrow(NEW.id);
  });
});

/** The state file with all that stands beside it. */
function filesOf({ file }: State): Buffer {
  const names = readdirSync(dirname(file)).filter((name) => name.startsWith(basename(file)));
  return Buffer.concat(names.map((name) => readFileSync(join(dirname(file), name))));
}
