import type { DatabaseSync } from 'node:sqlite';
import { type ProcessLock, takeLock } from './process-lock.ts';

/** Which processes use the state file. Each holds a lock beside it (`-process-ID`) for as long as it lives. */
export const PRESENCE_SCHEMA = `
  CREATE TABLE processes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
    pid INTEGER NOT NULL,
    alone INTEGER NOT NULL -- 1: it keeps its claims in flight to itself
  ) STRICT;
`;

export interface Neighbour {
  readonly id: number;
  /** As its own container counts; for people only. */
  readonly pid: number;
  readonly isAlone: boolean;
}

/** This process among those that use the state file. */
export interface Presence {
  readonly id: number;
  /** The others, as they stand in the file; `undefined`: this one does not stand there any more. */
  neighbours(): readonly Neighbour[] | undefined;
  /** The lock of a process that is gone; `undefined`: it lives, or one cannot know. */
  lockOfGone(id: number): ProcessLock | undefined;
  /** Belong into a transaction. */
  setAlone(isAlone: boolean): void;
  remove(id: number): void;
  /** This process's own. */
  readonly lock: ProcessLock;
}

/**
 * Enters this process; belongs into a transaction, so that nobody sees the entry before the lock is held.
 * @param isAlone there is no other
 */
export function enter(database: DatabaseSync, isAlone: boolean): Presence {
  const { lastInsertRowid } = database
    .prepare('INSERT INTO processes (pid, alone) VALUES (?, ?)')
    .run(process.pid, isAlone ? 1 : 0);
  const id = Number(lastInsertRowid);
  const lock = takeLock(lockFile(database, id));
  if (lock === undefined) throw new Error(`another program holds the lock of ${lockFile(database, id)}`);
  const list = neighbourList(database);
  const setAlone = database.prepare('UPDATE processes SET alone = ? WHERE id = ?');
  const remove = database.prepare('DELETE FROM processes WHERE id = ?');
  return {
    id,
    neighbours: () => {
      const all = list();
      const others = all.filter((one) => one.id !== id);
      return others.length < all.length ? others : undefined;
    },
    lockOfGone: (other) => lockOfGone(database, other),
    setAlone: (alone) => void setAlone.run(alone ? 1 : 0, id),
    remove: (other) => void remove.run(other),
    lock,
  };
}

/** All that stand in the file. */
export function neighbourList(database: DatabaseSync): () => readonly Neighbour[] {
  const select = database.prepare('SELECT id, pid, alone FROM processes ORDER BY id');
  return () =>
    (select.all() as unknown as { id: number; pid: number; alone: number }[]).map(({ id, pid, alone }) => ({
      id,
      pid,
      isAlone: alone === 1,
    }));
}

/** A file that is not there (the state was copied from elsewhere) is made, and removed again by whoever holds it. */
export function lockOfGone(database: DatabaseSync, id: number): ProcessLock | undefined {
  try {
    return takeLock(lockFile(database, id));
  } catch {
    // Of another user, perhaps: whoever may not ask takes it for living.
    return undefined;
  }
}

/** By the name that SQLite knows, which no symbolic link changes: two names would be two locks. */
function lockFile(database: DatabaseSync, id: number): string {
  return `${database.location()}-process-${id}`;
}
