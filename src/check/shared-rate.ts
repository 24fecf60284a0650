import type { RateLimit } from '../settings.ts';
import type { SharedRates } from '../store-types.ts';
import { type Check, type Head, PASS, type Verdict } from '../types.ts';
import { cellsOf, longestWaitMs, rateKeyReader } from './rate.ts';
import type { RateLine } from './rate-line.ts';

export interface SharedLimit {
  readonly rates: SharedRates;
  /** Names the limit among all that share the state. */
  readonly name: string;
  /** Those of this process that wait. */
  readonly line: RateLine;
  /** How long after the first byte of its head a request may still be waiting. */
  readonly latestMs: number;
  /** The verdict while the state is out of reach. */
  readonly lost: (head: Head, error: Error) => Verdict;
}

/** The same limit as `rateCheck`, counted by all gateways that share the state together. */
export function sharedRateCheck(limit: RateLimit, shared: SharedLimit): Check<Head> {
  const { rates, name, line, latestMs, lost } = shared;
  const cells = cellsOf(limit);
  const keyOf = rateKeyReader(limit.key);

  /** What is taken in advance cannot be given back, so a place in the line must be sure before the state is asked. */
  async function take(key: string, head: Head): Promise<Verdict> {
    const longestMs = longestWaitMs(limit, line, head, latestMs);
    if (longestMs > 0) line.hold();
    const asked = rates.take(`${name}\n${key}`, cells, longestMs);
    const { isTaken, afterMs } = await asked.finally(() => longestMs > 0 && line.free());
    if (!isTaken) return { reason: 'rate.exceeded', retryAfterSeconds: Math.ceil(afterMs / 1000) };
    return afterMs > 0 ? { turn: line.join(key, performance.now() + afterMs) } : PASS;
  }

  return {
    name: `rate by ${limit.key.by}`,
    examine: async (head) => {
      try {
        return await take(keyOf(head), head);
      } catch (error) {
        return lost(head, error as Error);
      }
    },
  };
}
