import { statSync } from 'node:fs';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Store } from '../types.ts';
import { claimStore, type KeptClaims } from './claims.ts';
import { KeyIndex } from './key-index.ts';
import { BUSY, codeOf, FULL, openStateFile, type StateFile } from './state-file.ts';

const TICK_MS = 1000;
const FORGET_ROWS = 5000;
const BUSY_RETRY_MS = 20;
const MOST_BUSY_MS = 250;

/**
 * State in one SQLite file. A kept claim is in the write-ahead log before the sender is answered, so it survives the
 * death of the process; `synchronous` NORMAL leaves the fsync to the checkpoint, so a power failure may lose the last
 * moments, and an event of these can be delivered once more.
 * @param warn told where another process uses the file too
 * @throws StateFileError, Error as `openStateFile` does
 */
export function sqliteStore(path: string, warn: (sentence: string) => void): Store {
  const file = openStateFile(path);
  if (file.owner === undefined) {
    warn(
      `${path} is in use by another process: each knows only its own claims, and an event sent to both is delivered twice`,
    );
  }
  return claimStore(new SqliteClaims(file, path));
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
  readonly #owner: DatabaseSync | undefined;
  readonly #path: string;
  readonly #inode: number;
  #unwritten: Unwritten[] = [];
  #written = Promise.withResolvers<void>();
  #scheduled = false;
  #problem: string | undefined;
  #busySinceMs: number | undefined;
  #forgottenTo = 0;

  constructor({ database, owner }: StateFile, path: string) {
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
    this.#owner?.close();
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
