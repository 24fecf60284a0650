import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EventFilter, Events } from '../events.ts';
import { openBooks } from './books.ts';
import { conditionOf } from './event-filter.ts';
import { openOrder } from './order.ts';
import { REMOVABLE, type Removable, remover } from './remove.ts';

/** So many events are changed in one transaction: a gateway waits for no longer than that takes. */
const AT_ONCE = 200;
/** What may be put back; from the quarantine nothing is let out but by a release. */
const OPEN = "'waiting', 'held', 'sealed', 'dead'";
/** In between a gateway that tries for the lock gets it. */
const PAUSE_MS = 5;

/** What the operator does to many events, a few at a time. */
export function actor(database: DatabaseSync, clock: { now(): number }): Pick<Events, 'retry' | 'discard'> {
  const [books, order] = [openBooks(database), openOrder(database)];
  const remove = remover(database, books, order);
  const hurry = database.prepare('UPDATE events SET due = ? WHERE seq = ?');
  const revive = database.prepare(`
    UPDATE events SET state = ?, due = ?, base = attempts, finished = NULL, finish_no = NULL WHERE seq = ?`);

  function putBack({ seq, route, state, order_key }: Removable): boolean {
    if (state !== 'dead') {
      hurry.run(clock.now(), seq);
      return true;
    }
    const isHeld = order_key !== null && order.isTaken(route, order_key);
    revive.run(isHeld ? 'held' : 'waiting', clock.now(), seq);
    books.count(route, 1, -1);
    // By its old place: before those of its key that came after it.
    order.arrange(route, order_key);
    return true;
  }

  /** Finds the events first and changes them afterwards: a search may take long, and must keep no lock. */
  async function change(filter: EventFilter, states: string, act: (row: Removable) => void): Promise<number> {
    const mayChange = `state IN (${states}) OR (state = 'delivering' AND until <= ?)`;
    const { sql, values } = conditionOf(filter, clock.now());
    const seqs = database.prepare(`SELECT seq FROM events WHERE ${sql} AND (${mayChange}) ORDER BY seq`);
    const found = seqs.all(...values, clock.now()).map(({ seq }) => seq as number);
    const again = database.prepare(
      `SELECT ${REMOVABLE} FROM events WHERE seq = ? AND ${sql} AND (${mayChange})`,
    );
    let changed = 0;
    for (let from = 0; from < found.length; from += AT_ONCE) {
      if (from > 0) await sleep(PAUSE_MS);
      database.exec('BEGIN IMMEDIATE');
      try {
        for (const seq of found.slice(from, from + AT_ONCE)) {
          // A gateway may have taken it meanwhile.
          const row = again.get(seq, ...values, clock.now()) as unknown as Removable | undefined;
          if (row === undefined) continue;
          act(row);
          changed += 1;
        }
        database.exec('COMMIT');
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK');
        throw error;
      }
    }
    return changed;
  }

  return {
    retry: (filter) => change(filter, OPEN, putBack),
    discard: (filter) => change(filter, `${OPEN}, 'quarantined'`, remove),
  };
}
