import type { Attempt } from './event.ts';
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
  return `${columns.join('  ')}  ${nextInWords(attempt)}`;
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
    ms: Math.round(attempt.ms * 10) / 10,
    next: next.kind,
    why: next.kind === 'give-up' ? next.why : undefined,
    pause_ms: next.kind === 'retry' ? next.pauseMs : undefined,
    pause_now_ms: attempt.nowMs === undefined ? undefined : Math.round(attempt.nowMs * 10) / 10,
  };
}

/** `accepted`, `retries in 5 m (now: 8 ms)`, `gives up: …`. */
export function nextInWords({ next, nowMs }: Pick<Attempt, 'next' | 'nowMs'>): string {
  if (next.kind === 'accepted') return 'accepted';
  if (next.kind === 'give-up') return `gives up: ${next.why}`;
  const now = nowMs === undefined || nowMs === next.pauseMs ? '' : ` (now: ${formatDuration(nowMs)})`;
  return `retries in ${formatDuration(next.pauseMs)}${now}`;
}

function result({ status, error, retryAfter, redirects }: Attempt): string {
  if (status === undefined) return `no answer: ${error}`;
  const hops = redirects ? ` after ${redirects === 1 ? 'a redirect' : `${redirects} redirects`}` : '';
  return `${status}${hops}${retryAfter === undefined ? '' : ` Retry-After: ${retryAfter}`}`;
}

function milliseconds(ms: number): string {
  return `${Math.round(ms)} ms`;
}
