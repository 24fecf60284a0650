import type { RateLimit } from '../settings.ts';
import { type Check, type Head, PASS, type SharedRates, type Verdict } from '../types.ts';
import { rateKeyReader } from './rate.ts';

export interface SharedLimit {
  readonly rates: SharedRates;
  /** Names the limit among all that share the state. */
  readonly name: string;
  /** The verdict while the state is out of reach. */
  readonly lost: (head: Head, error: Error) => Verdict;
}

/** The same limit as `rateCheck`, counted by all gateways that share the state together. */
export function sharedRateCheck(limit: RateLimit, { rates, name, lost }: SharedLimit): Check<Head> {
  const intervalMs = limit.perMs / limit.count;
  const toleranceMs = intervalMs * (limit.burst - 1);
  const keyOf = rateKeyReader(limit.key);
  return {
    name: `rate by ${limit.key.by}`,
    examine: async (head) => {
      try {
        const waitMs = await rates.take(`${name}\n${keyOf(head)}`, intervalMs, toleranceMs);
        if (waitMs === 0) return PASS;
        return { reason: 'rate.exceeded', retryAfterSeconds: Math.ceil(waitMs / 1000) };
      } catch (error) {
        return lost(head, error as Error);
      }
    },
  };
}
