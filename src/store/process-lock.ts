import { rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { BUSY, codeOf } from './result-code.ts';

/**
 * A lock that ends with the process that holds it, however that ends: SQLite's own, on an empty file. No such file may
 * be opened in any other way: closing a descriptor of a file drops all the locks that the process has on it (fcntl(2)),
 * and only SQLite knows which it has.
 */
export interface ProcessLock {
  /** Removes the file; the lock stays until it is let go. */
  removeFile(): void;
  letGo(): void;
}

/** @returns `undefined`: another process holds it. Makes the file where there is none. */
export function takeLock(file: string, waitMs = 0): ProcessLock | undefined {
  const database = new DatabaseSync(file, { timeout: waitMs });
  try {
    // A journal would be a second file.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (codeOf(error) === BUSY) return undefined;
    throw error;
  }
  return {
    removeFile: () => rmSync(file, { force: true }),
    letGo: () => database.close(),
  };
}
