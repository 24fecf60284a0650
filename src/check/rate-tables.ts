import type { RateLimit } from '../settings.ts';
import { RateTable } from './rate-table.ts';

/** 32 MiB per limit at most: of a million keys busy at once, 999 in 1,000 find room. By route there is a single key. */
const LARGEST_TABLE = 1 << 21;

/**
 * The counts of rate limits by route and limit. A limit that a new configuration has unchanged goes on counting:
 * otherwise each reload would let everybody in once more.
 */
export class RateTables {
  readonly #before: ReadonlyMap<string, RateTable>;
  readonly #tables = new Map<string, RateTable>();

  constructor(before?: RateTables) {
    this.#before = before?.tables ?? new Map();
  }

  get tables(): ReadonlyMap<string, RateTable> {
    return this.#tables;
  }

  /**
   * @param route or the lane of one of its clients
   * @param place where the limit stands among those of its route
   */
  take(route: string, place: number, limit: RateLimit): RateTable {
    const key = JSON.stringify([route, place, limit]);
    // All clients of a route share its limits by address.
    const known = this.#tables.get(key) ?? this.#before.get(key);
    const table = known ?? new RateTable(limit.key.by === 'route' ? 1 : LARGEST_TABLE);
    this.#tables.set(key, table);
    return table;
  }
}
