import { closeSync, fdatasync as fdatasyncByCallback, fdatasyncSync, openSync, statSync } from 'node:fs';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { BUSY, codeOf, FULL } from './state-file.ts';

const TICK_MS = 1000;
/** Another process holds the lock for the moment that a commit takes; a backup or a shell may hold it longer. */
const BUSY_RETRY_MS = 2;
const MOST_BUSY_MS = 250;
const fdatasync = promisify(fdatasyncByCallback);

/** A change of the state, applied inside of a transaction that others share. */
export interface Change {
  /** May run again where the transaction did not come about; must not throw for any reason but the database's. */
  readonly apply: () => void;
  /**
   * What it has to outlive before its promise resolves: this process, or the machine's power. `soon`: it resolves like
   * the first, but the disk is asked to hold it at once.
   */
  readonly survives: 'process' | 'soon' | 'power';
  /** Its promise rejects at the first failure, but it is tried again until it is written. */
  readonly isLasting?: boolean;
  /** Takes it back, where it was written and the disk then did not confirm it. */
  readonly undo?: () => void;
}

/** Whoever keeps in memory what the transactions write. Must not throw but for the database's reasons. */
export interface Companion {
  /** Inside of each transaction, before its changes. */
  begun(): void;
  /** Right after it came about, before anybody is told. */
  committed(): void;
}

/** Written, but the disk did not confirm it; it is being taken back. */
export class UnconfirmedError extends Error {}

interface Group {
  changes: Change[];
  committed: PromiseWithResolvers<void>;
  durable: PromiseWithResolvers<void>;
}

/**
 * The one hand that writes the state file: all changes of one turn of the event loop share a transaction, and all
 * that must outlive a power failure share an `fdatasync` of the write-ahead log. SQLite's own `synchronous` FULL makes
 * the same promise with an fsync inside of each commit, during which the event loop stands still and other processes
 * wait for the lock.
 */
export class StateWriter {
  readonly #database: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #ticking: NodeJS.Timeout;
  readonly #housekeepers: (() => void)[] = [];
  /** `undefined`: the state is in memory. */
  readonly #path: string | undefined;
  readonly #inode: number | undefined;
  #log: number | undefined;
  #group = newGroup();
  #unsynced: Group[] = [];
  /** Under way; resolves either way. */
  #syncing: Promise<void> | undefined;
  #isScheduled = false;
  #problem: string | undefined;
  #lost: string | undefined;
  #companion: Companion | undefined;
  #busySinceMs: number | undefined;

  constructor(database: DatabaseSync, path: string | undefined) {
    this.#database = database;
    this.#path = path;
    this.#inode = path === undefined ? undefined : statSync(path).ino;
    this.#begin = database.prepare('BEGIN IMMEDIATE');
    this.#commit = database.prepare('COMMIT');
    this.#ticking = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  /** Why nothing can be written at the moment; `undefined`: all is well. */
  get problem(): string | undefined {
    return this.#lost ?? this.#problem;
  }

  /** From now on nothing new may be begun with this state, whatever the file says. */
  giveUp(problem: string): void {
    this.#lost = problem;
  }

  accompany(companion: Companion): void {
    this.#companion = companion;
  }

  /** Resolves once the change has been written as it asks to be; rejects where that is not possible. */
  write(change: Change): Promise<void> {
    const group = this.#group;
    group.changes.push(change);
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => this.#write());
    }
    return change.survives === 'power' ? group.durable.promise : group.committed.promise;
  }

  /** Called once a second, as long as the state can be written. */
  housekeep(work: () => void): void {
    this.#housekeepers.push(work);
  }

  /** Writes what is left, and lets go of the file. */
  async close(): Promise<void> {
    clearInterval(this.#ticking);
    // A file must not be closed under the hand that is confirming it.
    while (this.#syncing !== undefined) await this.#syncing;
    // The event loop is over with: now it is right to wait for another's lock.
    this.#database.exec(`PRAGMA busy_timeout = ${MOST_BUSY_MS}`);
    this.#write();
    if (this.#log !== undefined) {
      fdatasyncSync(this.#log);
      closeSync(this.#log);
      this.#log = undefined;
    }
    this.#database.close();
  }

  #tick(): void {
    const isThere = this.#path === undefined || inodeOf(this.#path) === this.#inode;
    if (!isThere) this.#problem = 'state file: it was removed or replaced while in use; restart';
    else if (this.#problem !== undefined) this.#write();
    if (this.#problem !== undefined) return;
    try {
      for (const work of this.#housekeepers) work();
    } catch (error) {
      if (codeOf(error) !== BUSY) this.#fail(error);
    }
  }

  #write(): void {
    this.#isScheduled = false;
    const group = this.#group;
    try {
      this.#begin.run();
      this.#companion?.begun();
      for (const { apply } of group.changes) apply();
      this.#commit.run();
      this.#companion?.committed();
    } catch (error) {
      this.#rollBack();
      if (this.#waitsForLock(error)) setTimeout(() => this.#write(), BUSY_RETRY_MS);
      else this.#fail(error);
      return;
    }
    this.#problem = undefined;
    this.#busySinceMs = undefined;
    this.#group = newGroup();
    group.committed.resolve();
    if (!group.changes.some(({ survives }) => survives !== 'process')) return;
    this.#unsynced.push(group);
    this.#sync();
  }

  /** One at a time: what is committed meanwhile shares the next. */
  #sync(): void {
    if (this.#syncing !== undefined || this.#unsynced.length === 0) return;
    const groups = this.#unsynced;
    this.#unsynced = [];
    this.#syncing = this.#confirm().then((error) => {
      this.#syncing = undefined;
      for (const group of groups) this.#synced(group, error);
      this.#sync();
    });
  }

  /** Resolves once the disk has the write-ahead log, with why it has not. */
  async #confirm(): Promise<Error | undefined> {
    if (this.#path === undefined) return undefined;
    try {
      this.#log ??= openSync(`${this.#path}-wal`, 'r+');
      await fdatasync(this.#log);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  /** What the disk did not confirm may be gone after a power failure, so it must not be there before one either. */
  #synced(group: Group, error: Error | undefined): void {
    if (error === undefined) {
      group.durable.resolve();
      return;
    }
    this.#problem = `state file: ${error.message}`;
    for (const { undo } of group.changes) {
      if (undo !== undefined) silently(this.write({ apply: undo, survives: 'process', isLasting: true }));
    }
    rejectAll(group, new UnconfirmedError(error.message));
  }

  #waitsForLock(error: unknown): boolean {
    if (codeOf(error) !== BUSY || this.#problem !== undefined) return false;
    this.#busySinceMs ??= performance.now();
    this.#isScheduled = performance.now() - this.#busySinceMs < MOST_BUSY_MS;
    return this.#isScheduled;
  }

  #fail(error: unknown): void {
    this.#problem = `state file: ${(error as Error).message}`;
    this.#busySinceMs = undefined;
    if (codeOf(error) === FULL) this.#emptyLog();
    const group = this.#group;
    this.#group = newGroup();
    this.#group.changes = group.changes.filter(({ isLasting }) => isLasting === true);
    rejectAll(group, error);
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

function newGroup(): Group {
  const group = {
    changes: [],
    committed: Promise.withResolvers<void>(),
    durable: Promise.withResolvers<void>(),
  };
  // Whoever waits is told by the promise; one that nobody waits for must not end the process.
  silently(group.committed.promise);
  silently(group.durable.promise);
  return group;
}

function rejectAll({ committed, durable }: Group, error: unknown): void {
  committed.reject(error);
  durable.reject(error);
}

function silently(promise: Promise<void>): void {
  promise.catch(() => undefined);
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}
