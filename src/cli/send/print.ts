import type { Attempt } from './event.ts';
import type { Next } from './rules.ts';
import { formatDuration } from './words.ts';

/** One line of text for one attempt. */
export function attemptLine(attempt: Attempt): string {
  const time = attempt.at.toISOString().slice(11, 23);
  const number = `${attempt.number}/${attempt.of}`;
  const columns = [
    time,
    attempt.event.id,
    attempt.event.type,
    number,
    result(attempt),
    milliseconds(attempt.ms),
  ];
  return `${columns.join('  ')}  ${nextInWords(attempt.next)}${nowInWords(attempt)}`;
}

/** One attempt as a flat object of data; fields that do not apply are left out. */
export function attemptJson(attempt: Attempt): object {
  const { next } = attempt;
  return {
    time: attempt.at.toISOString(),
    message_id: attempt.event.id,
    event_type: attempt.event.type,
    attempt: attempt.number,
    attempts: attempt.of,
    status: attempt.status,
    error: attempt.error,
    retry_after: attempt.retryAfter,
    request_id: attempt.requestId,
    redirects: attempt.redirects,
    resent_after: attempt.resentAfter,
    ms: Math.round(attempt.ms * 10) / 10,
    next: next.kind,
    why: next.kind === 'give-up' ? next.why : undefined,
    pause_ms: next.kind === 'retry' ? next.pauseMs : undefined,
    pause_now_ms: attempt.nowMs === undefined ? undefined : Math.round(attempt.nowMs * 10) / 10,
  };
}

/** `accepted`, `retries in 5 m`, `gives up: …`. */
export function nextInWords(next: Next): string {
  if (next.kind === 'accepted') return 'accepted';
  if (next.kind === 'give-up') return `gives up: ${next.why}`;
  return `retries in ${formatDuration(next.pauseMs)}`;
}

/** The pause that really follows, where it is another than the schedule's. */
function nowInWords({ next, nowMs }: Attempt): string {
  if (next.kind !== 'retry' || nowMs === undefined || nowMs === next.pauseMs) return '';
  return ` (now: ${formatDuration(nowMs)})`;
}

function result({ status, error, retryAfter, redirects, resentAfter }: Attempt): string {
  const resent = resentAfter === undefined ? '' : ` (resent at once after: ${resentAfter})`;
  if (status === undefined) return `no answer: ${error}${resent}`;
  const hops = redirects ? ` after ${redirects === 1 ? 'a redirect' : `${redirects} redirects`}` : '';
  return `${status}${hops}${resent}${retryAfter === undefined ? '' : ` Retry-After: ${retryAfter}`}`;
}

function milliseconds(ms: number): string {
  return `${Math.round(ms)} ms`;
}
