import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { disposalOf, type Result } from '../src/deliver/schedule.ts';
import type { QueueSettings } from '../src/settings.ts';

const NOW_MS = Date.parse('2026-11-25T12:00:00Z');
const DAY_MS = 24 * 3_600_000;
const settings: QueueSettings = {
  attempts: 5,
  scheduleMs: [1000, 60_000],
  giveUp: [400, 410, 422],
  concurrency: 1,
  pace: undefined,
  ordered: undefined,
};
const after = (result: Partial<Result>, random = 0.5) =>
  disposalOf({ status: 503, retryAfter: undefined, step: 1, ...result }, settings, NOW_MS, random);
const pauseMs = (result: Partial<Result>, random?: number): number => {
  const disposal = after(result, random);
  return disposal.state === 'waiting' ? disposal.dueMs - NOW_MS : Number.NaN;
};

describe('after a delivery', () => {
  test('a 2xx is the only success, and the statuses of give_up are dead letters at once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 999 }), (status) => {
        const isSuccess = status >= 200 && status < 300;
        const wanted = isSuccess ? 'delivered' : settings.giveUp.includes(status) ? 'dead' : 'waiting';
        expect(after({ status }).state).toBe(wanted);
      }),
    );
    expect(after({ status: undefined }).state).toBe('waiting');
  });

  test('the pauses are those of the schedule, the last one repeats, and after the last attempt the event is dead', () => {
    expect([1, 2, 3, 4].map((step) => pauseMs({ step }))).toEqual([1000, 60_000, 60_000, 60_000]);
    for (const step of [5, 6]) expect(after({ step })).toEqual({ state: 'dead' });
    expect(after({ step: 5, status: 200 })).toEqual({ state: 'delivered' });
  });

  test('a pause is shortened or lengthened by a fifth at most, and both come about', () => {
    expect([0, 0.5, 1].map((random) => pauseMs({}, random))).toEqual([800, 1000, 1200]);
  });
});

describe('the Retry-After of an answer', () => {
  test.each([
    ['2', 2000],
    ['0', 1000],
    ['Wed, 25 Nov 2026 12:00:30 GMT', 30_000],
    ['Wed, 25 Nov 2026 11:00:00 GMT', 1000],
    ['172800', DAY_MS],
    ['Fri, 25 Nov 2050 12:00:00 GMT', DAY_MS],
  ])('%s lengthens a pause of a second to %i ms, and never shortens it', (retryAfter, wanted) => {
    expect(pauseMs({ retryAfter })).toBe(wanted);
  });

  test.each([
    '',
    'soon',
    '-5',
    '1.5',
    '99999999999',
    '2026-11-25T13:00:00Z',
    'Wed, 99 Nov 2026 12:00:30 GMT',
  ])('that cannot be read asks for nothing: "%s"', (retryAfter) =>
    expect(pauseMs({ retryAfter })).toBe(1000),
  );

  test('does not bring back what is given up, nor what has no attempt left', () => {
    expect(after({ status: 410, retryAfter: '1' })).toEqual({ state: 'dead' });
    expect(after({ step: 5, retryAfter: '1' })).toEqual({ state: 'dead' });
  });
});
