import { STATUS_CODES } from 'node:http';
import { type Fields, fieldValue } from './fields.ts';
import { answerFields } from './headers.ts';
import { factsOf, type Reason } from './reasons.ts';
import type { SenderProfile } from './sender-profile.ts';
import type { Refusal, Reply, UpstreamAnswer } from './types.ts';

/** The answers of one route, in the words that its sender understands. */
export interface Responder {
  /** Our own answer: a status, the request id and the status's title. */
  refuse(refusal: Refusal, requestId: string): Reply;
  /** The upstream's answer, or what stands for it, and the reason if that is not a success. */
  pass(
    answer: UpstreamAnswer,
    method: string,
    requestId: string,
  ): { reply: Reply; reason: Reason | undefined };
  /** Whether an upstream's body with this status would reach the sender. */
  passesBody(status: number): boolean;
}

/** A status that means the same to every sender, with its reason. */
interface Translated {
  status: number;
  reason: Reason | undefined;
}

/** Pauses suggested with our own 503, in seconds; the others have none unless the upstream names one. */
const RETRY_AFTER_SECONDS: Partial<Record<Reason, number>> = {
  'claim.in_flight': 5,
  'gateway.overloaded': 1,
  'gateway.draining': 5,
  'gateway.error': 5,
  'state.unavailable': 5,
  'transform.failed': 5,
};

/** What an upstream may tell a sender that does not retry 4xx: these mean the event itself, not a passing state. */
const FINAL_STATUSES: ReadonlySet<number> = new Set([400, 409, 410, 413, 415, 422]);

/** The status of a reason that nobody can be told. */
const NO_ANSWER = 0;

/** Compiles the answers for a sender; without one an upstream's answer passes unchanged. */
export function responderFor(sender: SenderProfile | undefined, passDelivery: boolean): Responder {
  const translate = sender === undefined ? plainly : translatorFor(sender);
  const passesBody = (status: number) => sender === undefined || (status >= 200 && status < 300);
  return {
    refuse: (refusal, requestId) => {
      const { status } = translate.reason(refusal.reason);
      const fields = [...(refusal.headers ?? [])];
      const seconds = refusal.retryAfterSeconds ?? RETRY_AFTER_SECONDS[refusal.reason];
      if (seconds !== undefined) fields.push('retry-after', String(seconds));
      return problem(status, fields, requestId, factsOf(refusal.reason).closes === true);
    },
    pass: (answer, method, requestId) => {
      const { status, reason } = translate.upstream(answer.status);
      const ownBody = !passesBody(answer.status) || status !== answer.status;
      if (ownBody)
        return { reply: problem(status, steering(answer.headers, passDelivery), requestId, false), reason };
      const bodiless = method === 'HEAD' || status === 304;
      const lengthCounts = bodiless || (answer.body !== undefined && !Buffer.isBuffer(answer.body));
      const headers = answerFields(answer.headers, passDelivery, lengthCounts);
      headers.push('x-request-id', requestId);
      return { reply: { status, headers, body: bodiless ? undefined : answer.body, close: false }, reason };
    },
    passesBody,
  };
}

/** A success without a body: a copy of an event that was delivered. */
export function acknowledge(status: number, requestId: string): Reply {
  return { status, headers: ['x-request-id', requestId], body: undefined, close: false };
}

interface Translator {
  reason(reason: Reason): Translated;
  upstream(status: number): Translated;
}

const plainly: Translator = {
  reason: (reason) => ({ status: factsOf(reason).status, reason }),
  upstream: (status) => {
    if (status < 200 || status > 599) return { status: 502, reason: 'upstream.invalid' };
    if (status < 400) return { status, reason: undefined };
    return { status, reason: status < 500 ? 'upstream.refused' : 'upstream.failed' };
  },
};

function translatorFor({ retries, disabledBy }: SenderProfile): Translator {
  const listed = retries.statuses === 'not-2xx' ? undefined : retries.statuses;
  const retried = (status: number) => listed?.includes(status) ?? true;
  const again = retried(503) ? 503 : (listed?.find((status) => status >= 500) ?? 503);
  const retryable = (status: number) => (retried(status) ? status : again);
  const harmless = (status: number) => (disabledBy.includes(status) ? 404 : status);
  return {
    reason: (reason) => {
      const { status, retryHelps } = factsOf(reason);
      const translated = retryHelps ? retryable(status) : harmless(status);
      return { status: status === NO_ANSWER ? NO_ANSWER : translated, reason };
    },
    upstream: (status) => {
      if (status < 200 || status > 599) return { status: retryable(502), reason: 'upstream.invalid' };
      if (status < 300) return { status, reason: undefined };
      if (status < 400) return { status: retryable(502), reason: 'upstream.redirect' };
      if (status >= 500) return { status: retryable(status), reason: 'upstream.failed' };
      if (retried(status) || FINAL_STATUSES.has(status))
        return { status: harmless(status), reason: 'upstream.refused' };
      return { status: again, reason: 'upstream.failed' };
    },
  };
}

/** What of an upstream's failure the sender may act on: when to come back, and Svix's own steering if allowed. */
function steering(headers: Fields, passDelivery: boolean): string[] {
  const fields: string[] = [];
  const retryAfter = fieldValue(headers, 'retry-after');
  if (retryAfter !== undefined && RETRY_AFTER.test(retryAfter)) fields.push('retry-after', retryAfter);
  const delivery = fieldValue(headers, 'webhook-delivery');
  if (passDelivery && delivery !== undefined) fields.push('webhook-delivery', delivery);
  return fields;
}

/** RFC 9110 section 10.2.3: seconds, or a date in the one form that may still be generated. */
const RETRY_AFTER =
  /^(?:\d{1,9}|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT)$/;

/** RFC 9457, the title only: senders show answers in their portals, and a diagnosis does not belong there. */
function problem(status: number, fields: string[], requestId: string, close: boolean): Reply {
  const title = STATUS_CODES[status] ?? (status < 500 ? 'Client Error' : 'Server Error');
  const body = Buffer.from(JSON.stringify({ title, status }));
  fields.push('content-type', 'application/problem+json', 'x-request-id', requestId);
  return { status, headers: fields, body, close };
}
