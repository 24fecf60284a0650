import { networkOf } from '../addresses.ts';
import { fieldValue } from '../fields.ts';
import type { RateKey, RateLimit } from '../settings.ts';
import { type Check, type Head, PASS, type Peer, type Verdict } from '../types.ts';
import type { RateTable } from './rate-table.ts';

/** A check that asks nobody beyond this process. */
export interface OwnCheck extends Check<Head> {
  readonly examine: (head: Head) => Verdict;
}

/**
 * Lets in `count` requests per `perMs`, `burst` of them at one instant (GCRA: one number a key, the time at which
 * the key would be idle again). A refusal says after how many seconds, rounded up, the next one passes.
 */
export function rateCheck(limit: RateLimit, table: RateTable): OwnCheck {
  const intervalMs = limit.perMs / limit.count;
  const toleranceMs = intervalMs * (limit.burst - 1);
  const keyOf = rateKeyReader(limit.key);
  const slotOf =
    limit.key.by === 'route' ? () => 0 : (head: Head, nowMs: number) => table.slotOf(keyOf(head), nowMs);
  const full: Verdict = Object.freeze({
    reason: 'rate.exceeded',
    detail: 'too many keys at once',
    retryAfterSeconds: Math.ceil(limit.perMs / 1000),
  });
  return {
    name: `rate by ${limit.key.by}`,
    examine: (head) => {
      const nowMs = performance.now();
      const slot = slotOf(head, nowMs);
      if (slot < 0) return full;
      const arrivalMs = Math.max(table.arrivalAt(slot), nowMs);
      const earlyMs = arrivalMs - toleranceMs - nowMs;
      if (earlyMs > 0) return { reason: 'rate.exceeded', retryAfterSeconds: Math.ceil(earlyMs / 1000) };
      table.setArrival(slot, arrivalMs + intervalMs);
      return PASS;
    },
  };
}

/** Who is counted together. */
export function rateKeyReader(key: RateKey): (head: Head) => string {
  switch (key.by) {
    case 'route':
      return () => '';
    case 'address':
      return ({ peer }) => networkKey(peer);
    case 'certificate':
      return ({ peer }) => peer.certificate?.fingerprint ?? '';
    case 'header':
      return ({ headers }) => fieldValue(headers, key.name) ?? '';
  }
}

/** One customer holds a whole IPv6 /64: counting single addresses would limit nobody. */
function networkKey({ address, addressValue }: Peer): string {
  return typeof addressValue === 'number' ? address : networkOf(addressValue).toString(36);
}
