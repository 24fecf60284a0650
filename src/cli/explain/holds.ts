import { signatureCheck } from '../../check/signature.ts';
import type { SignatureSettings } from '../../settings.ts';
import type { Message } from '../../types.ts';
import { signedAtMs } from './presented.ts';

/**
 * Whether a signature holds, whatever the time: by the gateway's own check, asked at the moment of signing. A key that
 * cannot be used so holds nothing.
 */
export function holds(rule: SignatureSettings, message: Message): boolean {
  const epochMs = signedAtMs(rule, message) ?? message.epochMs;
  try {
    const verdict = signatureCheck(rule).examine({ ...message, epochMs });
    return !(verdict instanceof Promise) && verdict.reason === undefined;
  } catch {
    return false;
  }
}
