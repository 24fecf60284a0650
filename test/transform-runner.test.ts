import { describe, expect, test } from 'vitest';
import { openRunner } from '../src/transform/runner.ts';

const quick = 'function handler(webhook) { return webhook; }';
const slow = 'function handler(webhook) { for (;;); }';
const jobOf = (source: string, timeoutMs = 50) => ({
  script: { name: 'test.js', source, timeoutMs, memoryBytes: 16 * 1024 * 1024 },
  method: 'POST',
  url: '/',
  body: Buffer.from('{}'),
  receivedMs: 0,
});
const TOO_SLOW = {
  kind: 'failed',
  detail: 'its script is too slow for what comes: too many wait, or too long',
};

describe('the thread of the transformations', () => {
  test('takes no more than 256 messages of a route into its line, and keeps none for longer than a second', async () => {
    const runner = openRunner(() => undefined);
    const order: number[] = [];
    const runs = Array.from({ length: 300 }, (_, place) =>
      runner.run('slow', jobOf(slow)).then((made) => {
        order.push(place);
        return made;
      }),
    );
    const made = await Promise.all(runs);
    // Two are handed over, 256 wait, and what comes after them is told at once.
    expect(order.slice(0, 42)).toEqual(Array.from({ length: 42 }, (_, place) => 258 + place));
    expect(made.slice(258)).toEqual(Array.from({ length: 42 }, () => TOO_SLOW));
    expect(made[0]).toEqual({ kind: 'failed', detail: expect.stringMatching(/50 ms/) });
    expect(made[257]).toEqual(TOO_SLOW);
    await runner.close();
  });

  test('lets the routes take turns: one whose script is slow does not keep another waiting behind its line', async () => {
    const runner = openRunner(() => undefined);
    const finished: string[] = [];
    // Short enough that ten of them are over before anybody has waited for too long, on a busy machine too.
    const run = (lane: string, source: string) =>
      runner.run(lane, jobOf(source, 5)).then(() => void finished.push(lane));
    await Promise.all([
      ...Array.from({ length: 10 }, () => run('slow', slow)),
      ...Array.from({ length: 3 }, () => run('quick', quick)),
    ]);
    expect(finished.slice(0, 8).filter((lane) => lane === 'quick')).toHaveLength(3);
    await runner.close();
  });

  test('that has ended leaves nobody waiting, and the next message starts another', async () => {
    const runner = openRunner(() => undefined);
    const underWay = [runner.run('a', jobOf(slow, 1000)), runner.run('b', jobOf(slow, 1000))];
    const waiting = runner.run('a', jobOf(quick));
    await runner.close();
    expect(await Promise.all(underWay)).toEqual(
      Array.from({ length: 2 }, () => ({
        kind: 'failed',
        detail: 'the thread of the transformations has ended',
      })),
    );
    expect(await waiting).toMatchObject({ kind: 'webhook', url: '/' });
    await runner.close();
  });
});
