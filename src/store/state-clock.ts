import type { DatabaseSync } from 'node:sqlite';
import type { StateWriter } from './writer.ts';

/**
 * The time by which events are due and leases end, in milliseconds: the wall clock, plus all that it was ever set back
 * by. Without that, whatever waits would wait for that much longer. A clock that is set forward makes everything due.
 */
export interface StateClock {
  now(): number;
  /** What is added to the wall clock, milliseconds. */
  readonly skewMs: number;
  /** Told when the wall clock was set forward, or the machine slept: timers know nothing of that time. */
  onLeap: (() => void) | undefined;
}

/** Clocks that are steered move by less in a second. */
const JUMP_MS = 1000;

/** Compares the wall clock with the monotonic one whenever the writer keeps house. */
export function openStateClock(
  database: DatabaseSync,
  writer: StateWriter,
  warn: (sentence: string) => void,
): StateClock {
  const stored = database.prepare("SELECT value FROM numbers WHERE name = 'skew'");
  const raise = database.prepare("UPDATE numbers SET value = max(value, ?) WHERE name = 'skew'");
  const readSkewMs = (): number => (stored.get() as { value: number }).value;
  let skewMs = readSkewMs();
  let [wallMs, monotonicMs] = [Date.now(), performance.now()];

  function add(behindMs: number): void {
    const wantedMs = skewMs + Math.round(behindMs);
    // Another process that shares the state sees the same jump: one of them writes it down.
    const foundMs = readSkewMs();
    skewMs = Math.max(skewMs, foundMs > wantedMs - JUMP_MS ? foundMs : wantedMs);
    warn(
      `the clock was set back by ${Math.round(behindMs / 1000)} s: what waits is due by the time that has really passed`,
    );
    const change = { apply: () => void raise.run(skewMs), survives: 'process', isLasting: true } as const;
    writer.write(change).catch(() => undefined);
  }

  // It may have been set back while nobody was there to see it: the newest event is not from the future.
  const newest = database.prepare('SELECT received FROM events ORDER BY seq DESC LIMIT 1').get();
  const aheadMs = ((newest?.received as number | undefined) ?? 0) - wallMs;
  if (aheadMs > JUMP_MS) add(aheadMs);

  writer.housekeep(() => {
    const [nowMs, sinceMs] = [Date.now(), performance.now()];
    const behindMs = sinceMs - monotonicMs - (nowMs - wallMs);
    [wallMs, monotonicMs] = [nowMs, sinceMs];
    if (behindMs > JUMP_MS) add(behindMs);
    else skewMs = Math.max(skewMs, readSkewMs());
    if (behindMs < -JUMP_MS) clock.onLeap?.();
  });

  const clock: StateClock = {
    now: () => Date.now() + skewMs,
    get skewMs() {
      return skewMs;
    },
    onLeap: undefined,
  };
  return clock;
}
