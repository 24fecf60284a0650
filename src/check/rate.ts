import { networkOf } from '../addresses.ts';
import { fieldValue } from '../fields.ts';
import type { RateKey, RateLimit } from '../settings.ts';
import type { Cells } from '../store-types.ts';
import { type Check, type Head, PASS, type Peer, type Verdict } from '../types.ts';
import type { RateLine } from './rate-line.ts';
import type { RateCount } from './rate-tables.ts';

/** A check that asks nobody beyond this process. */
export interface OwnCheck extends Check<Head> {
  readonly examine: (head: Head) => Verdict;
}

/**
 * Lets in `count` requests per `perMs`, `burst` of them at one instant (GCRA: one number a key, the time at which
 * the key would be idle again). Where the limit lets wait, one that comes early takes its turn in advance, so that first
 * come is first served, and waits for it. A refusal says after how many seconds, rounded up, the next one passes.
 * @param latestMs how long after the first byte of its head a request may still be waiting
 */
export function rateCheck(limit: RateLimit, { table, line }: RateCount, latestMs: number): OwnCheck {
  const { intervalMs, toleranceMs } = cellsOf(limit);
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
      if (earlyMs > 0 && earlyMs > longestWaitMs(limit, line, head, latestMs))
        return { reason: 'rate.exceeded', retryAfterSeconds: Math.ceil(earlyMs / 1000) };
      table.setArrival(slot, arrivalMs + intervalMs);
      return earlyMs > 0 ? { turn: line.join(keyOf(head), nowMs + earlyMs) } : PASS;
    },
  };
}

export function cellsOf({ count, perMs, burst, waitMs }: RateLimit): Cells {
  const intervalMs = perMs / count;
  return { intervalMs, toleranceMs: intervalMs * (burst - 1), waitMs };
}

/** How long a request may be made to wait from now; 0 or less: not at all. */
export function longestWaitMs(
  { waitMs, waiting }: RateLimit,
  line: RateLine,
  { startedMs }: Head,
  latestMs: number,
): number {
  if (waitMs === 0 || line.size >= waiting) return 0;
  return Math.min(waitMs, startedMs + latestMs - performance.now());
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
