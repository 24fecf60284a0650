import type { DatabaseSync } from 'node:sqlite';

/**
 * The time by which events are due and leases end, in milliseconds: the wall clock, plus all it was ever set back by.
 * Without that, everything that waits would wait for as long as the clock was set back.
 */
export interface StateClock {
  now(): number;
  /** What is added to the wall clock, milliseconds. */
  readonly skewMs: number;
}

export function openStateClock(database: DatabaseSync): StateClock {
  const { value: skewMs } = database.prepare("SELECT value FROM numbers WHERE name = 'skew'").get() as {
    value: number;
  };
  return { now: () => Date.now() + skewMs, skewMs };
}
