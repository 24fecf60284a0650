import { statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { DatabaseSync } from 'node:sqlite';
import { BUSY, CORRUPT, codeOf, NOT_A_DATABASE } from './result-code.ts';

/**
 * What has to be done before the state counts as well again. `gone`: the file was removed or replaced; it has to come
 * back. `damaged`: a restart. `unproven`: as much as a large event has to be written for a trial; the disk may be full.
 * `unconfirmed`: all of the write-ahead log has to reach the file.
 */
export type Trouble = 'gone' | 'damaged' | 'unproven' | 'unconfirmed';

/** `undefined`: another program keeps the file locked, which passes by itself. */
export function troubleOf(error: unknown): Trouble | undefined {
  const code = codeOf(error);
  if (code === BUSY) return undefined;
  return code === CORRUPT || code === NOT_A_DATABASE ? 'damaged' : 'unproven';
}

export const GONE = 'state file: it was removed or replaced while in use; put it back, or restart';

/** Why nothing can be written, for an operator. */
export function problemOf(error: unknown, trouble: Trouble | undefined): string {
  const { message } = error as Error;
  if (trouble === 'damaged')
    return `state file: damaged (${message}); restore it or move it away, and restart`;
  return `state file: ${message}`;
}

const PROBE_BYTES = 1 << 20;
const STORE = "INSERT OR REPLACE INTO payloads (seq, head, body) VALUES (0, x'', zeroblob(?))";

/**
 * Finds out whether a large event could be stored: on a full disk an empty transaction succeeds too, and a small one
 * often does.
 * @throws Error where it could not
 */
export function probe(database: DatabaseSync): void {
  // On a small disk the log itself may be what fills it: what has become free is for moving it into the file first.
  emptyLog(database);
  try {
    database.prepare(STORE).run(PROBE_BYTES);
    database.exec('DELETE FROM payloads WHERE seq = 0');
  } catch (error) {
    emptyLog(database);
    throw error;
  }
}

/**
 * Moves all of the write-ahead log into the file, and empties it. Where an fdatasync of the log has failed, a later one
 * that succeeds proves nothing: the kernel reports a page that it could not write once, and takes it for written then.
 * @returns whether the disk confirmed all of it
 */
export function emptyLog(database: DatabaseSync): boolean {
  try {
    return database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.busy === 0;
  } catch {
    return false;
  }
}

/** Which file stands at a path, or `undefined`. */
export function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** @throws Error where another file or none stands at the path */
export async function expectInode(path: string, inode: number | undefined): Promise<void> {
  const found = await stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );
  if (found !== inode) throw new Error(GONE);
}
