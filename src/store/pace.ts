import type { DatabaseSync } from 'node:sqlite';
import type { LeaseRequest } from '../events.ts';

type Rate = LeaseRequest['pace'];

/** How many deliveries of a route may begin now, for all processes that share the state. */
export interface Paces {
  /** @returns how many, and after how many milliseconds the next may where that is none */
  room(route: string, rate: Rate, nowMs: number): { count: number; againMs: number };
  /** Writes down that so many begin; belongs into the transaction in which there was room for them. */
  use(route: string, rate: Rate, count: number, nowMs: number): void;
}

/** What falls into this span of time may begin at once: timers are no finer, and nobody wants to be called for each. */
const AT_ONCE_MS = 100;

const ANY = Object.freeze({ count: Number.MAX_SAFE_INTEGER, againMs: 0 });

/** How far ahead of its regular time a delivery may begin. */
export function earlyMsOf({ count, perMs }: NonNullable<Rate>): number {
  const everyMs = perMs / count;
  return Math.max(AT_ONCE_MS, everyMs) - everyMs;
}

/** The generic cell rate algorithm (ITU-T I.371): one number a route, the time from which the next would be regular. */
export function paces(database: DatabaseSync): Paces {
  const read = database.prepare('SELECT at FROM paces WHERE route = ?');
  const write = database.prepare(
    'INSERT INTO paces (route, at) VALUES (?1, ?2) ON CONFLICT (route) DO UPDATE SET at = ?2',
  );

  function regularMs(route: string, nowMs: number): number {
    return Math.max((read.get(route) as { at: number } | undefined)?.at ?? 0, nowMs);
  }

  return {
    room(route, rate, nowMs) {
      if (rate === undefined) return ANY;
      const everyMs = rate.perMs / rate.count;
      const earlyMs = earlyMsOf(rate);
      const aheadMs = regularMs(route, nowMs) - nowMs;
      const count = Math.floor((earlyMs - aheadMs) / everyMs + 1);
      return count > 0 ? { count, againMs: 0 } : { count: 0, againMs: Math.ceil(aheadMs - earlyMs) };
    },
    use(route, rate, count, nowMs) {
      if (rate === undefined || count === 0) return;
      write.run(route, regularMs(route, nowMs) + (count * rate.perMs) / rate.count);
    },
  };
}
