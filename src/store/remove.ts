import type { DatabaseSync } from 'node:sqlite';
import type { Books } from './books.ts';
import type { Order } from './order.ts';

/** What of an event's row its removal needs. */
export interface Removable {
  readonly seq: number;
  readonly route: string;
  readonly state: string;
  readonly order_key: string | null;
  readonly key: string | null;
  readonly size: number;
}

export const REMOVABLE = 'seq, route, state, order_key, key, size';

/**
 * Removes an event with all that is kept of it; belongs into a transaction, in which the row was read. Returns whether
 * another event may have become due by that.
 */
export function remover(database: DatabaseSync, books: Books, order: Order): (event: Removable) => boolean {
  const deletions = [
    database.prepare('DELETE FROM events WHERE seq = ?'),
    database.prepare('DELETE FROM payloads WHERE seq = ?'),
    database.prepare('DELETE FROM attempts WHERE event = ?'),
  ];
  return ({ seq, route, state, order_key, key, size }) => {
    for (const deletion of deletions) deletion.run(seq);
    if (state === 'delivered') {
      books.addDelivered(-size);
      return false;
    }
    books.countKey(key, -1);
    if (state === 'quarantined') {
      books.countQuarantined(route, -1);
      return false;
    }
    if (state === 'dead') {
      books.count(route, 0, -1);
      return false;
    }
    books.count(route, -1, 0);
    return order.arrange(route, order_key);
  };
}
