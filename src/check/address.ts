import { addressSet } from '../addresses.ts';
import { type Check, type Head, PASS, type Refusal } from '../types.ts';

const NOT_ALLOWED: Refusal = Object.freeze({ reason: 'address.not_allowed' });

/** Lets in peers whose address is in one of the ranges. */
export function addressCheck(ranges: readonly string[]): Check<Head> {
  const contains = addressSet(ranges);
  return {
    name: 'address',
    examine: ({ peer }) => (contains(peer.addressValue) ? PASS : NOT_ALLOWED),
  };
}
