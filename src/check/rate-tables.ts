import type { RateLimit } from '../settings.ts';
import type { Refusal } from '../types.ts';
import { RateLine } from './rate-line.ts';
import { RateTable } from './rate-table.ts';

/** 32 MiB per limit at most: of a million keys busy at once, 999 in 1,000 find room. By route there is a single key. */
const LARGEST_TABLE = 1 << 21;

/** What one limit counts, and who waits under it. */
export interface RateCount {
  readonly table: RateTable;
  readonly line: RateLine;
}

/**
 * The counts of rate limits by route and limit. A limit that a new configuration has unchanged goes on counting:
 * otherwise each reload would let everybody in once more.
 */
export class RateTables {
  readonly #before: ReadonlyMap<string, RateCount>;
  readonly #counts = new Map<string, RateCount>();

  constructor(before?: RateTables) {
    this.#before = before?.counts ?? new Map();
  }

  get counts(): ReadonlyMap<string, RateCount> {
    return this.#counts;
  }

  /**
   * @param route or the lane of one of its clients
   * @param place where the limit stands among those of its route
   */
  take(route: string, place: number, limit: RateLimit): RateCount {
    const name = limitName(route, place, limit);
    // All clients of a route share its limits by address.
    const count = this.#counts.get(name) ??
      this.#before.get(name) ?? {
        table: new RateTable(limit.key.by === 'route' ? 1 : LARGEST_TABLE),
        line: new RateLine(),
      };
    this.#counts.set(name, count);
    return count;
  }

  /** Answers those that wait for their turn: the process is about to end. */
  giveUpAll(why: Refusal): void {
    for (const { line } of this.#counts.values()) line.giveUpAll(why);
  }
}

/** Names what is counted: a limit that is now enforced, or lets wait, goes on with the count that it had. */
export function limitName(route: string, place: number, { count, perMs, burst, key }: RateLimit): string {
  return JSON.stringify([route, place, { count, perMs, burst, key }]);
}
