import type { DatabaseSync } from 'node:sqlite';

/**
 * The order of events that share a key: of one route and key one event at most is not `held`. Each step is one search
 * in an index, however many are held. All functions belong into a transaction.
 */
export interface Order {
  /** Whether an event of this key has not finished: the next one has to be held. */
  isTaken(route: string, key: string): boolean;
  /**
   * Lets the first that has not finished be the one that is not held, unless another is being delivered just now.
   * @returns whether one may have become due by that
   */
  arrange(route: string, key: string | null): boolean;
}

interface Placed {
  readonly seq: number;
  readonly state: string;
}

export function openOrder(database: DatabaseSync): Order {
  const among = (states: string): string => `
    SELECT seq, state FROM events INDEXED BY ordered
    WHERE finished IS NULL AND route = ? AND order_key = ? AND order_key IS NOT NULL AND state IN (${states})
    ORDER BY seq LIMIT 1`;
  const findActive = database.prepare(among("'waiting', 'delivering', 'sealed'"));
  const findHeld = database.prepare(among("'held'"));
  const setState = database.prepare('UPDATE events SET state = ? WHERE seq = ?');
  return {
    isTaken: (route, key) =>
      findActive.get(route, key) !== undefined || findHeld.get(route, key) !== undefined,
    arrange(route, key) {
      if (key === null) return false;
      const held = findHeld.get(route, key) as Placed | undefined;
      if (held === undefined) return false;
      const active = findActive.get(route, key) as Placed | undefined;
      if (active !== undefined) {
        // A dead letter that was put back goes before those that came after it.
        if (active.state === 'delivering' || active.seq < held.seq) return false;
        setState.run('held', active.seq);
      }
      setState.run('waiting', held.seq);
      return true;
    },
  };
}
