import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { FLIGHTS_SCHEMA } from './flights.ts';
import { PRESENCE_SCHEMA } from './presence.ts';
import { takeLock } from './process-lock.ts';
import { BUSY, CORRUPT, codeOf, FULL, IO_ERROR, NOT_A_DATABASE, SQL_ERROR } from './result-code.ts';
import { FROM_VERSION_2, SCHEMA, VERSION } from './schema.ts';

const OPEN_TIMEOUT_MS = 2000;
const LOG_BYTES = 16 << 20;

/** The state file cannot be used, and another start would not change that: an operator has to act. */
export class StateFileError extends Error {}

/** Another process uses the state file, and it cannot be shared with that one. */
export class InUseError extends Error {}

/**
 * Opens the state file, or makes it.
 * @throws StateFileError where it is of a later version, damaged, no state file or not writable
 * @throws Error where another program keeps it locked, or its disk is full or broken, InUseError where it cannot be shared
 */
export function openStateFile(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(path), { recursive: true });
    // Events lie in it: nobody else's to read. Its log takes the same mode.
    closeSync(openSync(path, 'a', 0o600));
    database = new DatabaseSync(path, { timeout: OPEN_TIMEOUT_MS });
    prepare(database);
    return database;
  } catch (error) {
    database?.close();
    throw explained(error);
  }
}

/** The same state in memory: it ends with the process. */
export function openStateInMemory(): DatabaseSync {
  const database = new DatabaseSync(':memory:');
  prepare(database);
  return database;
}

function prepare(database: DatabaseSync): void {
  // Until there is a log: after a power failure a journal that was removed could be there again, and undo what came later.
  database.exec('PRAGMA synchronous = EXTRA');
  const version = versionOf(database);
  if (version < 2) makeTables(database);
  else if (version < VERSION) addQuarantine(database);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
  // Many large events at one time make the log grow; it does not stay as large.
  database.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}`);
  database.prepare('SELECT key, until FROM claims WHERE id < 0').all();
  database.prepare('SELECT seq, id, state, print FROM events WHERE seq < 0').all();
  // From here on a lock held by another program must not stop the event loop: the write is tried again instead.
  database.exec('PRAGMA busy_timeout = 0;');
}

/** @throws StateFileError where the file is of a later version */
export function versionOf(database: DatabaseSync): number {
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version > VERSION) {
    throw new StateFileError(
      `written by a later version (${version}), this one knows up to ${VERSION}; use that version, or another path`,
    );
  }
  return version;
}

/** From an empty file, or version 1, which had claims only. */
function makeTables(database: DatabaseSync): void {
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  if (tables.some(({ name }) => name !== 'claims') && versionOf(database) === 0) {
    throw new StateFileError(
      'no state file of Postern: it has the tables of another program; name another path',
    );
  }
  if (tables.length > 0) refuseEarlier(database);
  // A file can be made to shrink only before its first page is written, or by writing it anew.
  database.exec('PRAGMA auto_vacuum = INCREMENTAL');
  if (tables.length > 0) database.exec('VACUUM');
  database.exec('PRAGMA journal_mode = WAL; BEGIN IMMEDIATE');
  // Another process that starts at the same moment may have been faster.
  if (versionOf(database) < 2)
    database.exec(`${SCHEMA}${PRESENCE_SCHEMA}${FLIGHTS_SCHEMA}; PRAGMA user_version = ${VERSION}`);
  database.exec('COMMIT');
}

function addQuarantine(database: DatabaseSync): void {
  database.exec('BEGIN IMMEDIATE');
  if (versionOf(database) === 2) database.exec(`${FROM_VERSION_2}; PRAGMA user_version = ${VERSION}`);
  database.exec('COMMIT');
}

/**
 * Version 1 held a lock on a file of its own beside the state, and kept its claims in flight to itself.
 * @throws InUseError where such a process runs
 */
function refuseEarlier(database: DatabaseSync): void {
  const lock = takeLock(`${database.location()}-owner`, OPEN_TIMEOUT_MS);
  if (lock === undefined) {
    throw new InUseError(
      'in use by a process of an earlier version, which cannot share it; end that one first',
    );
  }
  lock.removeFile();
  lock.letGo();
}

/** SQLite's words for a programmer, as a sentence for an operator. */
export function explained(error: unknown): Error {
  if (error instanceof StateFileError || error instanceof InUseError) return error;
  const { message } = error as Error;
  switch (codeOf(error)) {
    case BUSY:
      return new Error('locked by another program; end that one first');
    // A start after this one may find room: an end that keeps the supervisor from trying would be wrong.
    case FULL:
    case IO_ERROR:
      return new Error(`cannot be read or written (${message}); see that its disk has room and is sound`);
    case SQL_ERROR:
    case CORRUPT:
    case NOT_A_DATABASE:
      return new StateFileError(
        `no state file of Postern, or damaged (${message}); move it away and start again: copies of events delivered before are then delivered once more`,
      );
    default:
      return new StateFileError(
        `cannot be opened for writing (${message}); name a file in a folder that this user may write to`,
      );
  }
}
