import type { SenderProfile } from '../../sender-profile.ts';

/** What one attempt came to: an answer's status and the fields a sender reads, or why there was no answer. */
export interface Outcome {
  readonly status?: number;
  /** In words; where there was no answer. */
  readonly error?: string;
  /** What there was instead of an answer: the time ran out, or the connection was not made or broke. */
  readonly broken?: 'deadline' | 'connection';
  /** Why the same bytes were sent a second time at once, in words; this is the outcome of the second. */
  readonly resentAfter?: string | undefined;
  readonly retryAfter?: string | undefined;
  /** The answer's `webhook-delivery` field. */
  readonly delivery?: string | undefined;
  readonly requestId?: string | undefined;
  /** How many redirects were followed. */
  readonly redirects?: number;
}

/** What the sender does after an attempt. */
export type Next =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'retry'; readonly pauseMs: number }
  | { readonly kind: 'give-up'; readonly why: string };

/**
 * What a sender of this kind does next.
 * @param attempt which attempt this was, from 1
 * @param nowMs wall clock, for a Retry-After that is a date
 */
export function decideNext(profile: SenderProfile, outcome: Outcome, attempt: number, nowMs: number): Next {
  const { status } = outcome;
  if (status !== undefined && status >= 200 && status < 300) return { kind: 'accepted' };
  const why = reasonToStop(profile, outcome);
  if (why !== undefined) return { kind: 'give-up', why };
  const stepMs = profile.retries.scheduleMs[attempt - 1];
  if (stepMs === undefined) return { kind: 'give-up', why: noMore(profile) };
  const askedMs = readRetryAfter(outcome.retryAfter, nowMs);
  return { kind: 'retry', pauseMs: pauseFor(profile, outcome, stepMs, askedMs) };
}

/** Whether a sender of this kind does as Svix's dispatcher: it retries whatever is no 2xx, by a schedule with jitter. */
export function isDispatchedBySvix({ retries, signature }: SenderProfile): boolean {
  return retries.statuses === 'not-2xx' && signature?.scheme === 'standard-webhooks';
}

/** By how much of itself a pause varies (`JITTER_DELTA` in svix-webhooks, server/svix-server/src/worker.rs). */
export function jitterOf(profile: SenderProfile): number {
  return isDispatchedBySvix(profile) ? 0.2 : 0;
}

function noMore({ name, retries }: SenderProfile): string {
  if (retries.scheduleMs.length > 0) return 'attempts used up';
  return retries.statuses.length === 0
    ? `${name} never tries again`
    : `${name} does not say when it tries again`;
}

function reasonToStop(profile: SenderProfile, { status, delivery }: Outcome): string | undefined {
  if (status === undefined) return undefined;
  if (profile.disabledBy.includes(status)) return `${status} switches the endpoint off at ${profile.name}`;
  // https://docs.svix.com/receiving/delivery-control: only senders of signed messages know this field.
  if (profile.signature && delivery === 'abort-message')
    return 'the answer says webhook-delivery: abort-message';
  if (profile.signature && delivery === 'disable')
    return 'the answer switches the endpoint off (webhook-delivery)';
  const { statuses } = profile.retries;
  if (statuses !== 'not-2xx' && !statuses.includes(status))
    return `${status} is not retried by ${profile.name}`;
  return undefined;
}

/** A receiver that is behind is left alone this long (`OVERLOAD_PENALTY_SECS` in the same file). */
const OVERLOADED_MS = 60_000;

/**
 * Svix lets Retry-After stretch a step to at most twice its length and never shorten it, and a step after a 429 or a
 * missed deadline is a minute at least; a sender that retries listed statuses lets Retry-After take the step's place,
 * up to its longest pause.
 */
function pauseFor(
  profile: SenderProfile,
  { status, broken }: Outcome,
  scheduledMs: number,
  askedMs: number | undefined,
): number {
  if (!isDispatchedBySvix(profile))
    return askedMs === undefined ? scheduledMs : Math.min(askedMs, Math.max(...profile.retries.scheduleMs));
  const isOverloaded = status === 429 || broken === 'deadline';
  const stepMs = isOverloaded ? Math.max(scheduledMs, OVERLOADED_MS) : scheduledMs;
  return askedMs === undefined ? stepMs : Math.min(Math.max(askedMs, stepMs), 2 * stepMs);
}

const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Milliseconds that a Retry-After asks for, in either form (RFC 9110, section 10.2.3); `undefined`: none readable. */
export function readRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const dateMs = HTTP_DATE.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}
