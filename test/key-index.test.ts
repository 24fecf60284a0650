import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyIndex } from '../src/store/key-index.ts';

test('says of every key what a map would say', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string({ maxLength: 12 }), fc.integer({ min: 1, max: 1_000_000 }))),
      (entries) => {
        const index = new KeyIndex();
        const map = new Map<string, number>();
        for (const [key, untilMs] of entries) {
          index.set(key, untilMs, 0);
          map.set(key, untilMs);
        }
        for (const [key, untilMs] of map) expect(index.untilOf(key)).toBe(untilMs);
        expect(index.untilOf('a key that is longer than twelve')).toBe(0);
      },
    ),
  );
});

test('a million claims take 48 MiB of memory, and none is lost on the way', () => {
  const index = new KeyIndex();
  const before = process.memoryUsage().arrayBuffers;
  for (let count = 0; count < 1_000_000; count += 1) index.set(`route\n\nmsg_${count}`, count + 1, 0);
  for (let count = 0; count < 1_000_000; count += 1_001)
    expect(index.untilOf(`route\n\nmsg_${count}`)).toBe(count + 1);
  expect(index.untilOf('route\n\nmsg_never')).toBe(0);
  // 2^21 slots of 24 bytes; what was outgrown may not have been collected yet.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * 48 * 1024 * 1024);
});

test('what has passed gives its room back: a stream of short claims does not grow the index', () => {
  const index = new KeyIndex();
  for (let nowMs = 0; nowMs < 1_000_000; nowMs += 1) index.set(`msg_${nowMs}`, nowMs + 100, nowMs);
  expect(index.size).toBeLessThanOrEqual(1024);
});
