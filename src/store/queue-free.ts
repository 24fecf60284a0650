import type { DatabaseSync } from 'node:sqlite';

/**
 * Ends the leases of processes that do not stand in the file any more: their events are due at once, as if the leases
 * were overrun. Belongs into a transaction.
 */
export function leaseFreer(database: DatabaseSync): () => void {
  const free = database.prepare(`
    UPDATE events SET until = 0
    WHERE state = 'delivering' AND until > 0 AND owner NOT IN (SELECT id FROM processes)`);
  return () => void free.run();
}
