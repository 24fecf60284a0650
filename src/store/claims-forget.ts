import type { DatabaseSync } from 'node:sqlite';
import type { Events } from '../events.ts';
import { claimsOf } from '../lane.ts';

/**
 * Takes claims back by a row that says so: rows are only ever appended, the last of a key counts, and a gateway that
 * runs reads what others have appended. The rows before it go, so that nothing brings them back.
 */
export function forgetter(database: DatabaseSync): Events['forget'] {
  const find = database.prepare(`
    SELECT id, key, until FROM claims
    WHERE substr(key, 1, length(?1)) = ?1 AND substr(key, -length(?2)) = ?2 ORDER BY id`);
  const insert = database.prepare('INSERT INTO claims (key, until) VALUES (?, 0)');
  const remove = database.prepare('DELETE FROM claims WHERE id = ?');
  return async (route, messageId) => {
    const nowMs = Date.now();
    const before = claimsOf(route);
    const find_ = () => find.all(before, `\n${messageId}`) as unknown as ClaimRow[];
    // A search may take long: only where it finds something is the lock asked for.
    if (find_().length === 0) return 0;
    database.exec('BEGIN IMMEDIATE');
    try {
      const rows = find_();
      const kept = new Map(rows.map(({ key, until }) => [key, until]));
      const keys = [...kept].filter(([, untilMs]) => untilMs > nowMs).map(([key]) => key);
      // The new rows first: the last number of the table must not be given again.
      for (const key of keys) insert.run(key);
      for (const { id, until } of rows) if (until > 0) remove.run(id);
      database.exec('COMMIT');
      return keys.length;
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  };
}

interface ClaimRow {
  readonly id: number;
  readonly key: string;
  readonly until: number;
}
