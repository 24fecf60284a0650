import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers, settled } from './support/hold.ts';
import { readiness } from './support/readiness.ts';
import { type Answer, connect, post } from './support/sender.ts';
import {
  named,
  processOf,
  SHARES,
  sendEvent,
  sharingConfig,
  startNamingUpstream,
} from './support/shared-port.ts';
import { startSenders } from './support/steady-senders.ts';
import { headerOf, type Upstream, unusedPort } from './support/upstream.ts';

let upstream: Upstream;
let port: number;

beforeAll(async () => {
  upstream = await startNamingUpstream();
});
beforeEach(async () => {
  upstream.answer();
  port = await unusedPort();
});

const start = (name: string, more: Record<string, unknown> = {}, folder?: string): Promise<Gateway> =>
  startGateway(sharingConfig(upstream, { port }, more), {
    env: named(name),
    ...(folder === undefined ? {} : { folder }),
  });

/** Sends over new connections until both processes have delivered; the system spreads them as it likes. */
async function untilBothServed(gateway: Gateway): Promise<Map<string, Answer[]>> {
  const served = new Map<string, Answer[]>();
  for (let count = 0; served.size < 2; count++) {
    if (count === 200) throw new Error(`200 connections, and all went to ${[...served.keys()]}`);
    const answer = await post(gateway, { path: '/plain', body: 'x' });
    const name = processOf(answer) ?? '';
    served.set(name, [...(served.get(name) ?? []), answer]);
  }
  return served;
}

/** How many requests the process's own metrics tell of. */
async function countedBy({ admin }: Gateway): Promise<number> {
  const text = await fetch(`http://127.0.0.1:${admin?.port}/metrics`).then((response) => response.text());
  const counts = [...text.matchAll(/^postern_requests_total\{.*\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

describe.skipIf(!SHARES)('two processes with reuse_port', () => {
  test('share one port: both get connections, and each records its own', async () => {
    const [a, b] = [await start('a'), await start('b')];
    expect([a.port, b.port]).toEqual([port, port]);
    const served = await untilBothServed(a);
    for (const [gateway, name] of [
      [a, 'a'],
      [b, 'b'],
    ] as const) {
      const answers = served.get(name) ?? [];
      for (const answer of answers) await expectDelivered(gateway, answer);
      expect(gateway.lines.filter((line) => line.msg === 'request')).toHaveLength(answers.length);
      expect([await readiness(gateway), await countedBy(gateway)]).toEqual([200, answers.length]);
    }
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
  });

  test('one that is killed leaves the other serving', async () => {
    const [a, b] = [await start('a'), await start('b')];
    await untilBothServed(a);
    await a.kill9();
    for (let count = 0; count < 20; count++) {
      const answer = await post(b, { path: '/plain', body: 'x' });
      await expectDelivered(b, answer);
      expect(processOf(answer)).toBe('b');
    }
    expect(await b.stop()).toBe(0);
  });

  test('on one state file know each other’s claims: of many copies one is delivered', async () => {
    const a = await start('a');
    const b = await start('b', {}, a.folder);
    const id = `msg_${randomUUID()}`;
    const { release } = holdAnswers(upstream);
    const copies = Array.from({ length: 40 }, () => sendEvent(a, id));
    await upstream.request((one) => headerOf(one, 'webhook-id') === id);
    // Each has as many copies as the system gave it: all of them wait.
    await Promise.all([a, b].map((gateway) => settled(gateway)));
    release();
    const answers = await Promise.all(copies);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    upstream.answer();
    const later = await Promise.all(Array.from({ length: 20 }, () => sendEvent(a, id)));
    for (const copy of later) await Promise.any([a, b].map((gateway) => expectDuplicate(gateway, copy)));
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
    const records = [a, b].flatMap(({ lines }) => lines);
    expect(records.filter((line) => line.outcome === 'delivered')).toHaveLength(1);
    expect(records.filter((line) => line.outcome === 'duplicate')).toHaveLength(59);
  });

  test('count each for itself: both let in the one request of a rate_limit', async () => {
    const [a, b] = [await start('a'), await start('b')];
    const passed: (string | undefined)[] = [];
    for (let count = 0; count < 200 && passed.length < 2; count++) {
      const answer = await post(a, { path: '/one', body: 'x' });
      if (answer.status === 200) passed.push(processOf(answer));
    }
    expect(passed.sort()).toEqual(['a', 'b']);
    expect((await post(a, { path: '/one', body: 'x' })).status).toBe(429);
    await b.stop();
    await expectRefused(a, upstream, () => post(a, { path: '/one', body: 'x' }), 429, 'rate.exceeded');
    expect(await a.stop()).toBe(0);
  });

  test('hold limits.connections each for itself', async () => {
    const limits = { connections: 3 };
    const [a, b] = [await start('a', { limits }), await start('b', { limits })];
    const open = await Promise.all(Array.from({ length: 80 }, () => connect(a).catch(() => undefined)));
    const admitted = open.filter((connection) => connection !== undefined);
    expect(admitted).toHaveLength(6);
    for (const on of admitted) {
      const answer = await post(a, { on, path: '/plain', body: 'x' });
      await Promise.any([a, b].map((gateway) => expectDelivered(gateway, answer)));
    }
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
  });
});

describe.skipIf(!SHARES)('a restart without a closed port', () => {
  test('the new process serves while the old one drains; every event is delivered once', async () => {
    const old = await start('old');
    const known = `msg_${randomUUID()}`;
    await expectDelivered(old, await sendEvent(old, known));
    const senders = startSenders(4, (id) => sendEvent(old, id));
    await senders.until((answer) => processOf(answer) === 'old');

    const fresh = await start('new', {}, old.folder);
    await senders.until((answer) => processOf(answer) === 'new');
    old.signal('SIGTERM');
    expect(await old.exited).toBe(0);
    const before = senders.answers.length;
    await senders.until((_answer, place) => place > before + 40);
    await senders.stop();
    // It read the state that the old one had written.
    await expectDuplicate(fresh, await sendEvent(fresh, known));
    expect(await fresh.stop()).toBe(0);

    const records = [...old.lines, ...fresh.lines].filter((line) => line.msg === 'request');
    for (const { id, answer } of senders.answers) {
      expect([answer.status, id, deliveriesOf(upstream, id)]).toEqual([200, id, 1]);
      expect(records.filter((line) => line.id === answer.id)).toMatchObject([{ outcome: 'delivered' }]);
    }
    for (const { answer } of senders.answers.slice(before + 4)) expect(processOf(answer)).toBe('new');
    // Each sender was opening at most one connection when the old one closed its socket.
    expect(senders.lost()).toBeLessThanOrEqual(4);
  });

  test('what is in flight in the old process is answered by it', async () => {
    const old = await start('old');
    const answering = Promise.withResolvers<() => void>();
    upstream.answer((_request, response) => answering.resolve(() => response.end('late')));
    const inFlight = post(old, { path: '/plain', body: 'x' });
    const answerNow = await answering.promise;
    upstream.answer();
    const fresh = await start('new');
    old.signal('SIGTERM');
    await old.line((line) => line.msg === 'draining');
    const senders = startSenders(1, (id) => sendEvent(fresh, id));
    await senders.until((answer) => processOf(answer) === 'new');
    await senders.stop();
    answerNow();
    const answer = await inFlight;
    await expectDelivered(old, answer);
    expect(answer.body.toString()).toBe('late');
    expect(await old.exited).toBe(0);
    expect(await fresh.stop()).toBe(0);
  });
});
