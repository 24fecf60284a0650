import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectProblem } from './support/expect.ts';
import type { Gateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers, settled } from './support/hold.ts';
import { connect } from './support/sender.ts';
import { newId, openState, reached, send, startOn } from './support/shared-state.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let a: Gateway;
let b: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  a = await startOn(upstream);
  b = await startOn(upstream, a.folder);
});
afterEach(() => upstream.answer());

describe('two processes on one state file', () => {
  test('never both deliver one event that both get at the same time', async () => {
    upstream.answer((_request, response) => {
      setTimeout(() => response.end('done'), Math.random() * 5);
    });
    const ids = Array.from({ length: 600 }, newId);
    const left = [...ids];
    const statuses = new Map<number, number>();
    const run = async () => {
      const [toA, toB] = await Promise.all([connect(a), connect(b)]);
      for (let id = left.pop(); id !== undefined; id = left.pop()) {
        for (const { status } of await Promise.all([send(a, id, toA), send(b, id, toB)])) {
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
      }
      toA.close();
      toB.close();
    };
    await Promise.all(Array.from({ length: 8 }, run));
    expect(Object.fromEntries(statuses)).toEqual({ 200: 1200 });
    const counts = new Map<string | undefined, number>();
    for (const request of upstream.requests) {
      const id = headerOf(request, 'webhook-id');
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    expect(ids.filter((id) => counts.get(id) !== 1)).toEqual([]);
    const delivered = [a, b].map(({ lines }) => lines.filter((line) => line.outcome === 'delivered').length);
    expect(Math.min(...delivered), 'both deliver').toBeGreaterThan(0);
  });

  test.each([200, 202, 404, 503])('copies at the other one get the outcome: %i', async (status) => {
    const id = newId();
    const { release } = holdAnswers(upstream);
    const first = send(a, id);
    await reached(upstream, id);
    const copies = [send(b, id), send(b, id), send(a, id)];
    await Promise.all([settled(a), settled(b)]);
    release(status);
    const answers = await Promise.all([first, ...copies]);
    expect(answers.map((answer) => answer.status)).toEqual([status, status, status, status]);
    expect(deliveriesOf(upstream, id)).toBe(1);
    upstream.answer();
    if (status < 300) await expectDuplicate(b, await send(b, id));
    else await expectDelivered(b, await send(b, id));
    expect(deliveriesOf(upstream, id)).toBe(status < 300 ? 1 : 2);
  });

  test('copies at the other one get a fault of the upstream, too', async () => {
    const id = newId();
    const reset = Promise.withResolvers<() => void>();
    upstream.answer((_request, response) => reset.resolve(() => response.destroy()));
    const first = send(a, id);
    const resetNow = await reset.promise;
    const copy = send(b, id);
    await settled(b);
    resetNow();
    await expectProblem(a, await first, 502, 'upstream.reset');
    await expectProblem(b, await copy, 502, 'upstream.reset');
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('a copy waits for no longer than its own deadline', async () => {
    const id = newId();
    const { release } = holdAnswers(upstream);
    const first = send(a, id, undefined, '/quick');
    await reached(upstream, id);
    await expectProblem(b, await send(b, id, undefined, '/quick'), 503, 'claim.in_flight');
    release();
    await first;
    await expectDuplicate(b, await send(b, id, undefined, '/quick'));
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('know at once what the other one has delivered', async () => {
    for (let count = 0; count < 20; count++) {
      const id = newId();
      await expectDelivered(a, await send(a, id));
      await expectDuplicate(b, await send(b, id));
      expect(deliveriesOf(upstream, id)).toBe(1);
    }
  });

  test('let an event come again whose claim was taken back', async () => {
    const id = newId();
    await expectDelivered(a, await send(a, id));
    await expectDuplicate(b, await send(b, id));
    takeBack(a, id);
    await expectDelivered(b, await send(b, id));
    await expectDuplicate(a, await send(a, id));
    expect(deliveriesOf(upstream, id)).toBe(2);
  });
});

test('a process that is alone lets an event come again whose claim was taken back, also after a restart', async () => {
  const alone = await startOn(upstream);
  const id = newId();
  await expectDelivered(alone, await send(alone, id));
  takeBack(alone, id);
  await expectDelivered(alone, await send(alone, id));
  takeBack(alone, id);
  expect(await alone.stop()).toBe(0);
  const restarted = await startOn(upstream, alone.folder);
  await expectDelivered(restarted, await send(restarted, id));
  await expectDuplicate(restarted, await send(restarted, id));
  expect(deliveriesOf(upstream, id)).toBe(3);
  expect(await restarted.stop()).toBe(0);
});

/** As the command line does it. */
function takeBack(gateway: Gateway, id: string): void {
  const database = openState(gateway);
  database.prepare('INSERT INTO claims (key, until) VALUES (?, 0)').run(`a\n\n${id}`);
  database.close();
}
