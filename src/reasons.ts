/** Which side of the exchange a refusal or fault belongs to. */
export type Side = 'sender' | 'gateway' | 'upstream';

interface ReasonFacts {
  /** The natural HTTP status, before a sender profile translates it; 0: no answer is possible. */
  status: number;
  /** Whether the same request, sent again later, may succeed. */
  retryHelps: boolean;
  side: Side;
  /** The connection is closed after the answer: its framing, or its certificate, can no longer be believed. */
  closes?: true;
}

/** Every reason there is: the word in the log, the metric label and the test's assertion. */
export const REASONS = {
  'request.malformed': { status: 400, retryHelps: false, side: 'sender', closes: true },
  'target.ambiguous': { status: 400, retryHelps: false, side: 'sender' },
  'request.misdirected': { status: 421, retryHelps: false, side: 'sender', closes: true },
  'route.not_found': { status: 404, retryHelps: false, side: 'sender' },
  'route.method_not_allowed': { status: 405, retryHelps: false, side: 'sender' },
  'address.not_allowed': { status: 403, retryHelps: false, side: 'sender' },
  'certificate.missing': { status: 403, retryHelps: false, side: 'sender' },
  'certificate.untrusted': { status: 403, retryHelps: false, side: 'sender' },
  'certificate.expired': { status: 403, retryHelps: false, side: 'sender', closes: true },
  'certificate.revoked': { status: 403, retryHelps: false, side: 'sender' },
  'certificate.not_allowed': { status: 403, retryHelps: false, side: 'sender' },
  'authorization.missing': { status: 401, retryHelps: false, side: 'sender' },
  'authorization.repeated': { status: 401, retryHelps: false, side: 'sender' },
  'authorization.malformed': { status: 401, retryHelps: false, side: 'sender' },
  'authorization.wrong': { status: 401, retryHelps: false, side: 'sender' },
  'client.unknown': { status: 403, retryHelps: false, side: 'sender' },
  'client.mismatch': { status: 403, retryHelps: false, side: 'sender' },
  'rate.exceeded': { status: 429, retryHelps: true, side: 'sender' },
  'body.too_large': { status: 413, retryHelps: false, side: 'sender' },
  'body.timeout': { status: 408, retryHelps: true, side: 'sender', closes: true },
  'body.incomplete': { status: 0, retryHelps: true, side: 'sender', closes: true },
  'signature.missing': { status: 401, retryHelps: false, side: 'sender' },
  'signature.repeated': { status: 401, retryHelps: false, side: 'sender' },
  'signature.malformed': { status: 401, retryHelps: false, side: 'sender' },
  'signature.stale': { status: 401, retryHelps: false, side: 'sender' },
  'signature.early': { status: 401, retryHelps: false, side: 'sender' },
  'signature.mismatch': { status: 401, retryHelps: false, side: 'sender' },
  'filter.malformed': { status: 400, retryHelps: false, side: 'sender' },
  'transform.malformed': { status: 400, retryHelps: false, side: 'sender' },
  'transform.failed': { status: 503, retryHelps: true, side: 'gateway' },
  'claim.in_flight': { status: 503, retryHelps: true, side: 'gateway' },
  'gateway.overloaded': { status: 503, retryHelps: true, side: 'gateway' },
  'gateway.draining': { status: 503, retryHelps: true, side: 'gateway' },
  'gateway.error': { status: 503, retryHelps: true, side: 'gateway' },
  'state.unavailable': { status: 503, retryHelps: true, side: 'gateway' },
  'upstream.unreachable': { status: 502, retryHelps: true, side: 'upstream' },
  'upstream.reset': { status: 502, retryHelps: true, side: 'upstream' },
  'upstream.invalid': { status: 502, retryHelps: true, side: 'upstream' },
  'upstream.redirect': { status: 502, retryHelps: true, side: 'upstream' },
  'upstream.timeout': { status: 504, retryHelps: true, side: 'upstream' },
  'upstream.refused': { status: 400, retryHelps: false, side: 'upstream' },
  'upstream.failed': { status: 503, retryHelps: true, side: 'upstream' },
} as const satisfies Record<string, ReasonFacts>;

export type Reason = keyof typeof REASONS;

/** What a check in report mode would have refused, or not delivered: a filter refuses nothing that it leaves out. */
export type Reported = Reason | 'filter.unwanted';

/** What is known of a reason; the wide type, so that optional facts can be read of any reason. */
export function factsOf(reason: Reason): ReasonFacts {
  return REASONS[reason];
}
