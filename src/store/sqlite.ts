import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Store } from '../types.ts';
import { claimStore, type KeptClaims } from './claims.ts';
import { KeyIndex } from './key-index.ts';

const VERSION = 1;
/**
 * Rows are only ever appended, and found by the index in memory: a table sorted by key would write a page for each
 * claim, ten times the work.
 */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS claims (id INTEGER PRIMARY KEY, key TEXT NOT NULL, until INTEGER NOT NULL) STRICT;
  PRAGMA user_version = ${VERSION};
`;
const OPEN_TIMEOUT_MS = 2000;
const TICK_MS = 1000;
const FORGET_ROWS = 5000;
const BUSY_RETRY_MS = 20;
const MOST_BUSY_MS = 250;

/** The state file was written by a later version of this program. */
export class NewerStateError extends Error {}

/**
 * State in one SQLite file. A kept claim is in the write-ahead log before the sender is answered, so it survives the
 * death of the process; `synchronous` NORMAL leaves the fsync to the checkpoint, so a power failure may lose the last
 * moments, and an event of these can be delivered once more.
 * @throws NewerStateError where the file's version is later than this program's
 * @throws Error where the file cannot be opened or is not a database
 */
export function sqliteStore(path: string): Store {
  mkdirSync(dirname(path), { recursive: true });
  const owner = takeOwnership(path);
  const database = new DatabaseSync(path, { timeout: OPEN_TIMEOUT_MS });
  try {
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as {
      user_version: number;
    };
    if (version > VERSION) {
      throw new NewerStateError(
        `written by a later version (${version}); this program knows up to ${VERSION}`,
      );
    }
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
    database.exec(SCHEMA);
    // From here on a lock held by another process must not stop the event loop: the write is tried again instead.
    database.exec('PRAGMA busy_timeout = 0;');
    return claimStore(new SqliteClaims(database, owner, path));
  } catch (error) {
    database.close();
    owner.close();
    throw error;
  }
}

/**
 * A second process on one file would know only its own claims, and deliver what the first has delivered. The lock is
 * on a file of its own, so that the state itself can be read meanwhile; it ends with the process, however that ends.
 * @throws Error where another process has it
 */
function takeOwnership(path: string): DatabaseSync {
  const owner = new DatabaseSync(`${path}-owner`, { timeout: OPEN_TIMEOUT_MS });
  try {
    owner.exec('BEGIN EXCLUSIVE');
    return owner;
  } catch (error) {
    owner.close();
    const isBusy = codeOf(error) === BUSY;
    throw isBusy
      ? new Error('in use by another process; stop that one first, or give this one a path of its own')
      : error;
  }
}

/** SQLite's result codes, https://www.sqlite.org/rescode.html */
const BUSY = 5;
const FULL = 13;

function codeOf(error: unknown): number | undefined {
  return (error as { errcode?: number }).errcode;
}

interface Unwritten {
  key: string;
  untilMs: number;
}

/** Claims written in groups: all that are kept in one turn of the event loop share one commit. */
class SqliteClaims implements KeptClaims {
  readonly #database: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #insert: StatementSync;
  readonly #commit: StatementSync;
  readonly #forget: StatementSync;
  readonly #last: StatementSync;
  readonly #index = new KeyIndex();
  readonly #ticking: NodeJS.Timeout;
  readonly #owner: DatabaseSync;
  readonly #path: string;
  readonly #inode: number;
  #unwritten: Unwritten[] = [];
  #written = Promise.withResolvers<void>();
  #scheduled = false;
  #problem: string | undefined;
  #busySinceMs: number | undefined;
  #forgottenTo = 0;

  constructor(database: DatabaseSync, owner: DatabaseSync, path: string) {
    this.#database = database;
    this.#owner = owner;
    this.#path = path;
    this.#inode = statSync(path).ino;
    this.#begin = database.prepare('BEGIN IMMEDIATE');
    this.#insert = database.prepare('INSERT INTO claims (key, until) VALUES (?, ?)');
    this.#commit = database.prepare('COMMIT');
    this.#forget = database.prepare('DELETE FROM claims WHERE id > ? AND id <= ? AND until <= ?');
    this.#last = database.prepare('SELECT max(id) AS last FROM claims');
    const nowMs = Date.now();
    const rows = database.prepare('SELECT key, until FROM claims WHERE until > ?').iterate(nowMs);
    for (const { key, until } of rows as Iterable<{ key: string; until: number }>)
      this.#index.set(key, until, nowMs);
    this.#ticking = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  has(key: string, nowMs: number): boolean {
    // What cannot be written down must not be delivered: nobody would know its copies for what they are.
    if (this.#problem !== undefined) throw new Error(this.#problem);
    return this.#index.untilOf(key) > nowMs;
  }

  add(key: string, untilMs: number, nowMs: number): Promise<void> {
    this.#index.set(key, untilMs, nowMs);
    this.#unwritten.push({ key, untilMs });
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.#write());
    }
    return this.#written.promise;
  }

  problem(): string | undefined {
    return this.#problem;
  }

  close(): void {
    clearInterval(this.#ticking);
    this.#write();
    this.#database.close();
    this.#owner.close();
  }

  /** Once a second: what could not be written is tried again, and a stretch of the file is cleared of old claims. */
  #tick(): void {
    const isThere = statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode;
    if (!isThere) this.#problem = 'state file: it was removed or replaced while in use; restart';
    else if (this.#problem !== undefined) this.#write();
    if (this.#problem !== undefined) return;
    try {
      const { last } = this.#last.get() as { last: number | null };
      if (this.#forgottenTo >= (last ?? 0)) this.#forgottenTo = 0;
      const to = this.#forgottenTo + FORGET_ROWS;
      this.#forget.run(this.#forgottenTo, to, Date.now());
      this.#forgottenTo = to;
    } catch (error) {
      if (codeOf(error) !== BUSY) this.#fail(error);
    }
  }

  #write(): void {
    this.#scheduled = false;
    try {
      this.#begin.run();
      for (const { key, untilMs } of this.#unwritten) this.#insert.run(key, untilMs);
      this.#commit.run();
    } catch (error) {
      this.#rollBack();
      if (this.#waitsForLock(error)) setTimeout(() => this.#write(), BUSY_RETRY_MS);
      else this.#fail(error);
      return;
    }
    this.#problem = undefined;
    this.#busySinceMs = undefined;
    this.#unwritten = [];
    this.#nextPromise().resolve();
  }

  /** Another program (a backup, a shell) may hold the lock for a moment: those who wait can wait that long. */
  #waitsForLock(error: unknown): boolean {
    if (codeOf(error) !== BUSY || this.#problem !== undefined) return false;
    this.#busySinceMs ??= performance.now();
    this.#scheduled = performance.now() - this.#busySinceMs < MOST_BUSY_MS;
    return this.#scheduled;
  }

  #fail(error: unknown): void {
    this.#problem = `state file: ${(error as Error).message}`;
    this.#busySinceMs = undefined;
    if (codeOf(error) === FULL) this.#emptyLog();
    const { promise, reject } = this.#nextPromise();
    // Whoever waits is told by the promise; one that nobody waits for must not end the process.
    promise.catch(() => undefined);
    reject(error);
  }

  #nextPromise(): PromiseWithResolvers<void> {
    const written = this.#written;
    this.#written = Promise.withResolvers<void>();
    return written;
  }

  /** On a small disk the write-ahead log itself may be what fills it. */
  #emptyLog(): void {
    try {
      this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch {
      // Then it is something else that fills the disk.
    }
  }

  #rollBack(): void {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    } catch {
      // The next BEGIN fails, and says so.
    }
  }
}
