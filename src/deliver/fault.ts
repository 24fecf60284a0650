import type { Reason } from '../reasons.ts';
import type { Refusal } from '../types.ts';

/** A flowing answer whose upstream says nothing for this long is given up. */
export const STALL_MS = 30_000;

/** Interim answers (1xx) to one request; one that sends more has no answer. */
export const MOST_INTERIM = 100;

/** undici takes it for the end. */
export const RESET: Refusal = Object.freeze({
  reason: 'upstream.reset',
  detail: 'reset in the middle of an answer without a length',
});
export const STALLED = new Error(`nothing of the answer arrived for ${STALL_MS / 1000} s`);
export const FLOODED = new Error(`more than ${MOST_INTERIM} interim answers`);

/** What became of a request that had begun to be sent: the upstream may have seen any part of it. */
export function faultOf(error: Error): Refusal {
  return { reason: reasonOf(error), detail: describeError(error) };
}

/** For the log. A name with several addresses fails with an error for each. */
export function describeError(error: Error & { code?: string }): string {
  const messages = error instanceof AggregateError ? error.errors.map((one) => one.message) : [error.message];
  return `${error.code ?? error.name}: ${messages.join(', ')}`;
}

function reasonOf(error: Error & { code?: string }): Reason {
  if (error === STALLED) return 'upstream.timeout';
  const { code = '', name, message } = error;
  // undici's words for a 100 or 101 that nobody asked for.
  const unasked = code === 'UND_ERR_SOCKET' && /^bad (response|upgrade)$/.test(message);
  const invalid =
    error === FLOODED ||
    name === 'HTTPParserError' ||
    /^UND_ERR_(HEADERS_OVERFLOW|RES_CONTENT_LENGTH_MISMATCH)$/.test(code);
  return unasked || invalid ? 'upstream.invalid' : 'upstream.reset';
}
