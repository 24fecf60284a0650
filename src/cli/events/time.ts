import { duration } from '../../config/values.ts';

const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?)?$/;
const LONGEST_AGE_HOURS = 100 * 366 * 24;
const age = duration({ zero: true, maxHours: LONGEST_AGE_HOURS });

/**
 * A point in time, milliseconds since the epoch: ISO 8601 (without a zone: UTC, as all that is printed), or how long
 * ago, such as `2h` or `7d`. `undefined`: neither.
 */
export function readTime(text: string, nowMs: number): number | undefined {
  const ago = age.safeParse(text);
  if (ago.success) return nowMs - ago.data;
  const [, day, minutes = '00:00', seconds = '', zone = 'Z'] = ISO.exec(text) ?? [];
  // V8 takes 30 February for 2 March.
  if (day === undefined || !isoTime(Date.parse(`${day}T00:00Z`)).startsWith(day)) return undefined;
  const ms = Date.parse(`${day}T${minutes}${seconds}${zone}`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** ISO 8601 in UTC, to the millisecond; empty for what is no time. */
export function isoTime(ms: number): string {
  return Number.isNaN(new Date(ms).getTime()) ? '' : new Date(ms).toISOString();
}

/** A length of time in its largest unit: `45s`, `13m`, `2h`, `7d`. */
export function spanText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** When something is due, as seen from now: `now`, `in 13m`. */
export function dueText(dueMs: number, nowMs: number): string {
  return dueMs <= nowMs ? 'now' : `in ${spanText(dueMs - nowMs)}`;
}
