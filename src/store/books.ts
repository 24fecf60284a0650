import type { DatabaseSync } from 'node:sqlite';

/**
 * What is counted, written in the same transactions as what it counts: a million rows are not walked for a metric. All
 * its functions belong into a transaction.
 */
export interface Books {
  /** Adds to the number of a route's events that have not finished, and of its dead letters. */
  count(route: string, unfinished: number, dead: number): void;
  /** Adds to the number of a route's events in quarantine. */
  countQuarantined(route: string, quarantined: number): void;
  quarantined(route: string): number;
  /** Adds to the number of events that are encrypted with a key and not delivered. */
  countKey(key: string | null, undelivered: number): void;
  /** The next place in the order of finishing; never given twice. */
  nextFinishNo(): number;
  /** Adds to what delivered events take up. */
  addDelivered(bytes: number): void;
  deliveredBytes(): number;
}

export function openBooks(database: DatabaseSync): Books {
  const tally = database.prepare(`
    INSERT INTO tallies (route, unfinished, dead) VALUES (?1, ?2, ?3)
    ON CONFLICT (route) DO UPDATE SET unfinished = unfinished + ?2, dead = dead + ?3`);
  const tallyQuarantined = database.prepare(`
    INSERT INTO tallies (route, unfinished, dead, quarantined) VALUES (?1, 0, 0, ?2)
    ON CONFLICT (route) DO UPDATE SET quarantined = quarantined + ?2`);
  const quarantined = database.prepare('SELECT quarantined FROM tallies WHERE route = ?');
  const tallyKey = database.prepare(`
    INSERT INTO keys (id, undelivered) VALUES (?1, ?2)
    ON CONFLICT (id) DO UPDATE SET undelivered = undelivered + ?2`);
  const add = database.prepare('UPDATE numbers SET value = value + ? WHERE name = ? RETURNING value');
  const number = database.prepare('SELECT value FROM numbers WHERE name = ?');
  return {
    count: (route, unfinished, dead) => void tally.run(route, unfinished, dead),
    countQuarantined: (route, count) => void tallyQuarantined.run(route, count),
    quarantined: (route) => (quarantined.get(route)?.quarantined as number | undefined) ?? 0,
    countKey: (key, undelivered) => {
      if (key !== null) tallyKey.run(key, undelivered);
    },
    nextFinishNo: () => (add.get(1, 'finished') as { value: number }).value,
    addDelivered: (bytes) => void add.get(bytes, 'delivered bytes'),
    deliveredBytes: () => (number.get('delivered bytes') as { value: number }).value,
  };
}
