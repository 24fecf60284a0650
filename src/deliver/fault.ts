import type { Reason } from '../reasons.ts';
import type { Refusal } from '../types.ts';

/** A flowing answer whose upstream says nothing for this long is given up. */
export const STALL_MS = 30_000;

/** undici takes it for the end. */
export const RESET: Refusal = Object.freeze({
  reason: 'upstream.reset',
  detail: 'reset in the middle of an answer without a length',
});
export const STALLED = new Error(`nothing of the answer arrived for ${STALL_MS / 1000} s`);

/** A request that never began failed to connect; of one that began the upstream may have seen any part. */
export function faultOf(error: Error & { code?: string }, begun: boolean): Refusal {
  const detail = `${error.code ?? error.name}: ${error.message}`;
  if (error === STALLED) return { reason: 'upstream.timeout', detail };
  return { reason: begun ? reasonOf(error) : 'upstream.unreachable', detail };
}

function reasonOf({ code = '', name, message }: Error & { code?: string }): Reason {
  // undici's words for a 100 or 101 that nobody asked for.
  const unasked = code === 'UND_ERR_SOCKET' && /^bad (response|upgrade)$/.test(message);
  const invalid =
    name === 'HTTPParserError' || /^UND_ERR_(HEADERS_OVERFLOW|RES_CONTENT_LENGTH_MISMATCH)$/.test(code);
  return unasked || invalid ? 'upstream.invalid' : 'upstream.reset';
}
