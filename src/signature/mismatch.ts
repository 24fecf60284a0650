import type { Refusal } from '../types.ts';

/** That none of these keys has signed; how many they were is all that is told of them. */
export function signatureMismatch({ length }: readonly unknown[]): Refusal {
  return { reason: 'signature.mismatch', detail: `${length} secret${length === 1 ? '' : 's'} tried` };
}
