import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectProblem } from './support/expect.ts';
import { type Gateway, startAndEnd } from './support/gateway.ts';
import { deliveriesOf, holdAnswers, settled } from './support/hold.ts';
import type { LogLine, RequestLine } from './support/log-line.ts';
import { besides, newId, openState, reached, send, startOn, stateConfig } from './support/shared-state.ts';
import { startSenders } from './support/steady-senders.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

/** Sends what is held for longer than an answer is waited for: the record tells what became of it. */
async function sendHeld(gateway: Gateway, id: string): Promise<void> {
  send(gateway, id).catch(() => undefined);
  await reached(upstream, id);
}

const delivered = (id: string) => (one: RequestLine) => one.message_id === id && one.outcome === 'delivered';
const gone = (line: LogLine) => /is gone without a word/.test(String(line.warning));

describe('a kill -9 in the middle of a delivery', () => {
  test('frees the event: a copy that waits at the other process is delivered', async () => {
    const [id, later] = [newId(), newId()];
    const a = await startOn(upstream);
    const b = await startOn(upstream, a.folder);
    holdAnswers(upstream);
    const lost = Promise.allSettled([send(a, id), send(a, later)]);
    await Promise.all([reached(upstream, id), reached(upstream, later)]);
    const copy = send(b, id);
    await settled(b);
    upstream.answer();
    await a.kill9();
    await expectDelivered(b, await copy);
    await expectDelivered(b, await send(b, later));
    await lost;
    for (const one of [id, later]) expect(deliveriesOf(upstream, one)).toBe(2);
    await b.line(gone);
    expect(await b.stop()).toBe(0);
    expect(besides(b)).toEqual([]);
  });

  test('frees the event for a process that starts afterwards', async () => {
    const id = newId();
    const a = await startOn(upstream);
    const b = await startOn(upstream, a.folder);
    holdAnswers(upstream);
    const lost = Promise.allSettled([send(a, id)]);
    await reached(upstream, id);
    upstream.answer();
    await Promise.all([a.kill9(), b.kill9()]);
    await lost;
    const c = await startOn(upstream, a.folder);
    await expectDelivered(c, await send(c, id));
    expect(await c.stop()).toBe(0);
    expect(besides(c)).toEqual([]);
  });
});

describe('a process that joins', () => {
  test('learns what is in flight in the one that was alone, under load', async () => {
    const ids = Array.from({ length: 30 }, newId);
    const a = await startOn(upstream);
    const { release } = holdAnswers(upstream);
    const firsts = ids.map((id) => send(a, id));
    await Promise.all(ids.map((id) => reached(upstream, id)));
    upstream.answer();
    const senders = startSenders(4, (id) => send(a, id));
    const b = await startOn(upstream, a.folder);
    const copies = ids.map((id) => send(b, id));
    await settled(b);
    await senders.stop();
    release();
    const answers = await Promise.all([...firsts, ...copies]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(senders.lost()).toBe(0);
    for (const id of [...ids, ...senders.answers.map((one) => one.id)]) {
      expect([id, deliveriesOf(upstream, id)]).toEqual([id, 1]);
    }
    for (const { id } of senders.answers.slice(0, 20)) await expectDuplicate(b, await send(b, id));
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
  });

  test('may leave and come again while an event is in flight at the other one', async () => {
    const id = newId();
    const a = await startOn(upstream);
    const { release } = holdAnswers(upstream);
    await sendHeld(a, id);
    for (let count = 0; count < 2; count++) {
      const passing = await startOn(upstream, a.folder);
      const copy = send(passing, id, undefined, '/a').catch((error: Error) => error);
      await settled(passing);
      const before = a.lines.length;
      await passing.kill9();
      await copy;
      await a.line(gone, before);
    }
    const b = await startOn(upstream, a.folder);
    const copy = send(b, id);
    await settled(b);
    release();
    expect((await copy).status).toBe(200);
    await a.record(delivered(id));
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await b.stop()).toBe(0);
    await expectDuplicate(a, await send(a, id));
    expect(await a.stop()).toBe(0);
    expect(besides(a)).toEqual([]);
  });

  test('learns what is in flight in one that was left alone', async () => {
    const [before, after] = [newId(), newId()];
    const a = await startOn(upstream);
    const b = await startOn(upstream, a.folder);
    const { release } = holdAnswers(upstream);
    await sendHeld(a, before);
    expect(await b.stop()).toBe(0);
    const state = openState(a);
    const alone = () => state.prepare('SELECT alone FROM processes').all();
    await expect.poll(alone, { timeout: 10_000 }).toEqual([{ alone: 1 }]);
    state.close();
    await sendHeld(a, after);
    const c = await startOn(upstream, a.folder);
    const copies = [before, after].map((id) => send(c, id));
    await settled(c);
    release();
    expect((await Promise.all(copies)).map(({ status }) => status)).toEqual([200, 200]);
    expect([before, after].map((id) => deliveriesOf(upstream, id))).toEqual([1, 1]);
    expect(await Promise.all([a.stop(), c.stop()])).toEqual([0, 0]);
    expect(besides(a)).toEqual([]);
  });

  test('does not start where the one that is alone does not answer, and says so; later it does', async () => {
    const id = newId();
    const a = await startOn(upstream);
    const { release } = holdAnswers(upstream);
    await sendHeld(a, id);
    a.signal('SIGSTOP');
    try {
      const { code, output } = await startAndEnd(stateConfig(upstream), { folder: a.folder });
      expect(code).toBe(1);
      expect(output).toMatch(/state: .*state\.db: in use by another process \(pid \d+\).*within 5 s/);
      expect(output).toContain(`pid ${a.pid}`);
      expect(output).not.toMatch(/^\s+at /m);
    } finally {
      a.signal('SIGCONT');
    }
    const b = await startOn(upstream, a.folder);
    const copy = send(b, id);
    await settled(b);
    release();
    expect((await copy).status).toBe(200);
    await a.record(delivered(id));
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
    expect(besides(a)).toEqual([]);
  });
});

test('a stopped process keeps what it has in flight, and the others go on', async () => {
  const id = newId();
  const a = await startOn(upstream);
  const b = await startOn(upstream, a.folder);
  const { release } = holdAnswers(upstream);
  const first = send(a, id, undefined, '/quick');
  await reached(upstream, id);
  a.signal('SIGSTOP');
  try {
    upstream.answer();
    await expectProblem(b, await send(b, id, undefined, '/quick'), 503, 'claim.in_flight');
    for (let count = 0; count < 20; count++) await expectDelivered(b, await send(b, newId()));
    const c = await startOn(upstream, a.folder);
    await expectDelivered(c, await send(c, newId()));
    expect(await c.stop()).toBe(0);
  } finally {
    a.signal('SIGCONT');
  }
  release();
  await first;
  await expectDuplicate(b, await send(b, id, undefined, '/quick'));
  expect(deliveriesOf(upstream, id)).toBe(1);
  expect([...a.lines, ...b.lines].filter(gone)).toEqual([]);
  expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
});

test('restarts one after the other under load deliver every event once, and leave no files', async () => {
  let current = await startOn(upstream);
  const known = newId();
  await expectDelivered(current, await send(current, known));
  const senders = startSenders(4, (id) => send(current, id));
  for (let count = 0; count < 3; count++) {
    const old = current;
    current = await startOn(upstream, old.folder);
    const served = senders.answers.length;
    await senders.until((_answer, place) => place > served + 20);
    expect(await old.stop()).toBe(0);
  }
  const served = senders.answers.length;
  await senders.until((_answer, place) => place > served + 20);
  await senders.stop();
  await expectDuplicate(current, await send(current, known));
  for (const { id, answer } of senders.answers) {
    expect([answer.status, id, deliveriesOf(upstream, id)]).toEqual([200, id, 1]);
  }
  expect(await current.stop()).toBe(0);
  expect(besides(current)).toEqual([]);
});
