import type { Attempt, EventDetail, EventSummary } from '../../events.ts';
import type { Fields } from '../../fields.ts';
import { ownerOf } from '../../lane.ts';
import type { Forced } from '../../quarantined.ts';
import { isoTime } from './time.ts';
import { textOf } from './visible.ts';

/** An event of a list as data, in the words of the log; what does not apply is left out. */
export function summaryJson(event: EventSummary): Record<string, unknown> {
  return {
    id: event.id,
    route: ownerOf(event.route).route,
    client: event.client === '' ? undefined : event.client,
    message_id: event.messageId,
    event_type: event.eventType,
    state: event.state,
    received: isoTime(event.receivedMs),
    expires: event.expiresMs === undefined ? undefined : isoTime(event.expiresMs),
    due: event.dueMs === undefined ? undefined : isoTime(event.dueMs),
    finished: event.finishedMs === undefined ? undefined : isoTime(event.finishedMs),
    attempts: event.attempts,
    upstream_status: event.status,
    reason: event.reason,
    bytes: event.bytes,
    body_sha256: event.bodySha256 === '' ? undefined : event.bodySha256,
    address: event.address,
    certificate: event.certificate,
    secret: event.secret,
    forced: event.forced && forcedJson(event.forced),
    unreadable: event.unreadable,
  };
}

/** Who vouched for an event whose signature does not hold. */
export function forcedJson({ by, atMs, reason }: Forced): { by: string; at: string; reason: string } {
  return { by, at: isoTime(atMs), reason };
}

/** The same with all that is kept of it: the request, and every attempt. */
export function detailJson(event: EventDetail): Record<string, unknown> {
  const { evidence } = event;
  return {
    ...summaryJson(event),
    method: event.method,
    path: event.path,
    query: event.query,
    headers: headersJson(event.headers),
    sent: evidence && { host: evidence.authority, headers: headersJson(evidence.headers) },
    body: bytesJson(event.body),
    log: event.log.map(attemptJson),
  };
}

function headersJson(fields: Fields): readonly { name: string; value: string }[] {
  const headers = [];
  for (let at = 0; at + 1 < fields.length; at += 2)
    headers.push({ name: fields[at] as string, value: fields[at + 1] as string });
  return headers;
}

function attemptJson(attempt: Attempt): Record<string, unknown> {
  return {
    attempt: attempt.number,
    started: isoTime(attempt.startedMs),
    ms: attempt.durationMs,
    upstream: attempt.target,
    upstream_status: attempt.status,
    reason: attempt.reason,
    detail: attempt.detail,
    answer: bytesJson(attempt.answer),
  };
}

/** Bytes exactly, and as text beside it where they are UTF-8. */
function bytesJson(bytes: Buffer): { base64: string; text: string | undefined } {
  return { base64: bytes.toString('base64'), text: textOf(bytes) };
}

/** `1 event`, `2 events`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
