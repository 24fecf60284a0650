import type { Disposal } from '../events.ts';
import type { QueueSettings } from '../settings.ts';

/** A pause is shortened or lengthened by up to a fifth, so that events that failed together do not come back together. */
const JITTER = 0.2;
/** An upstream that asks for more than a day is asked again after one. */
const LONGEST_ASKED_MS = 24 * 3_600_000;

/** What came of one delivery. */
export interface Result {
  /** `undefined`: the upstream did not answer. */
  readonly status: number | undefined;
  /** The upstream's Retry-After, if it sent one. */
  readonly retryAfter: string | undefined;
  /** The how-manieth delivery of the schedule it was, from 1. */
  readonly step: number;
}

/**
 * What becomes of an event after a delivery. A 2xx is the only success; a redirect is not followed.
 * @param random from 0 to 1
 */
export function disposalOf(
  { status, retryAfter, step }: Result,
  { attempts, scheduleMs, giveUp }: QueueSettings,
  nowMs: number,
  random: number = Math.random(),
): Disposal {
  if (status !== undefined && status >= 200 && status < 300) return { state: 'delivered' };
  if (step >= attempts || (status !== undefined && giveUp.includes(status))) return { state: 'dead' };
  const pauseMs = scheduleMs[Math.min(step, scheduleMs.length) - 1] as number;
  const spreadMs = pauseMs * (1 - JITTER + 2 * JITTER * random);
  const askedMs = Math.min(retryAfterMs(retryAfter, nowMs), LONGEST_ASKED_MS);
  // Never sooner than either says: an upstream's short pause must not use up the attempts of many hours.
  return { state: 'waiting', dueMs: Math.round(nowMs + Math.max(spreadMs, askedMs)) };
}

/** RFC 9110 section 10.2.3: seconds or a date; anything else asks for nothing. */
function retryAfterMs(value: string | undefined, nowMs: number): number {
  if (value === undefined) return 0;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const untilMs = / GMT$/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(untilMs) ? 0 : Math.max(untilMs - nowMs, 0);
}
