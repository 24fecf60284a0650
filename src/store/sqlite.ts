import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Store } from '../types.ts';
import { claimStore, type KeptClaims } from './claims.ts';

const VERSION = 1;
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS claims_until ON claims (until);
  PRAGMA user_version = ${VERSION};
`;
const RETRY_MS = 1000;
const PURGE_MS = 10_000;
const PURGED_AT_ONCE = 2000;
/** Past this many claims that could not be written, copies would be forgotten: nothing more is delivered. */
const MOST_UNWRITTEN = 100_000;

/** The state file was written by a later version of this program. */
export class NewerStateError extends Error {}

/**
 * State in one SQLite file. A kept claim is in the write-ahead log before the sender is answered, so it survives the
 * death of the process; `synchronous` NORMAL leaves the fsync to the checkpoint, so a power failure may lose the last
 * seconds, and an event of these can be delivered once more.
 * @throws NewerStateError where the file's version is later than this program's
 * @throws Error where the file cannot be opened or is not a database
 */
export function sqliteStore(path: string): Store {
  mkdirSync(dirname(path), { recursive: true });
  const database = new DatabaseSync(path, { timeout: 2000 });
  try {
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as {
      user_version: number;
    };
    if (version > VERSION) {
      throw new NewerStateError(`${path}: state of version ${version}, this program knows up to ${VERSION}`);
    }
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
    database.exec(SCHEMA);
    // From here on a lock held by another process must not stop the event loop: the write is tried again instead.
    database.exec('PRAGMA busy_timeout = 0;');
  } catch (error) {
    database.close();
    throw error;
  }
  return claimStore(new SqliteClaims(database));
}

interface Waiting {
  resolve: () => void;
  reject: (error: Error) => void;
}

/** Claims written in groups: all that arrive in one turn of the event loop share one commit. */
class SqliteClaims implements KeptClaims {
  readonly #database: DatabaseSync;
  readonly #select;
  readonly #insert;
  readonly #purge;
  readonly #timers: NodeJS.Timeout[];
  /** Not yet written; read before the file is, so that a claim counts from the moment it is kept. */
  readonly #unwritten = new Map<string, number>();
  #waiting: Waiting[] = [];
  #scheduled = false;
  #problem: string | undefined;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#select = database.prepare('SELECT until FROM claims WHERE key = ?');
    this.#insert = database.prepare('INSERT OR REPLACE INTO claims (key, until) VALUES (?, ?)');
    this.#purge = database.prepare(
      `DELETE FROM claims WHERE key IN (SELECT key FROM claims WHERE until <= ? ORDER BY until LIMIT ${PURGED_AT_ONCE})`,
    );
    this.#timers = [
      setInterval(() => this.#problem !== undefined && this.#write(), RETRY_MS).unref(),
      setInterval(() => this.#forget(), PURGE_MS).unref(),
    ];
  }

  has(key: string, nowMs: number): boolean {
    if (this.#problem !== undefined) throw new Error(this.#problem);
    const untilMs =
      this.#unwritten.get(key) ?? (this.#select.get(key) as { until: number } | undefined)?.until;
    return untilMs !== undefined && untilMs > nowMs;
  }

  add(key: string, untilMs: number): Promise<void> {
    if (this.#unwritten.size < MOST_UNWRITTEN) this.#unwritten.set(key, untilMs);
    if (this.#problem !== undefined) return Promise.reject(new Error(this.#problem));
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.#write());
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  problem(): string | undefined {
    return this.#problem;
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#write();
    this.#database.close();
  }

  #write(): void {
    this.#scheduled = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      for (const [key, untilMs] of this.#unwritten) this.#insert.run(key, untilMs);
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#problem = `state file: ${(error as Error).message}`;
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      for (const { reject } of waiting) reject(error as Error);
      return;
    }
    this.#problem = undefined;
    this.#unwritten.clear();
    for (const { resolve } of waiting) resolve();
  }

  /** In small steps: one large deletion would stop every request for its length. */
  #forget(): void {
    if (this.#problem !== undefined) return;
    try {
      this.#purge.run(Date.now());
    } catch (error) {
      this.#problem = `state file: ${(error as Error).message}`;
    }
  }
}
