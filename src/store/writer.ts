import type { DatabaseSync, StatementSync } from 'node:sqlite';
import {
  type Change,
  type Companion,
  type Group,
  newGroup,
  rejectAll,
  silently,
  UnconfirmedError,
} from './change.ts';
import { BUSY, CORRUPT, codeOf, FULL } from './result-code.ts';
import { emptyLog, GONE, probe, problemOf, type Trouble, troubleOf } from './trouble.ts';
import { WriteAheadLog } from './write-ahead-log.ts';

const TICK_MS = 1000;
/**
 * Another process holds the lock for the moment that a commit takes: who then asks but now and again finds that it has
 * been taken anew. A backup or a shell may hold it longer.
 */
const EAGER_MS = 5;
const BUSY_RETRY_MS = 2;
const MOST_BUSY_MS = 500;
const LOCKED_RETRY_MS = 100;

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
  readonly #log: WriteAheadLog | undefined;
  #group = newGroup();
  #unsynced: Group[] = [];
  /** Under way; resolves either way. */
  #syncing: Promise<void> | undefined;
  #isScheduled = false;
  #problem: string | undefined;
  #trouble: Trouble | undefined;
  #lost: string | undefined;
  #companion: Companion | undefined;
  #busySinceMs: number | undefined;
  #retrying: NodeJS.Timeout | undefined;

  constructor(database: DatabaseSync, path: string | undefined) {
    this.#database = database;
    this.#log = path === undefined ? undefined : new WriteAheadLog(path);
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
    clearTimeout(this.#retrying);
    // A file must not be closed under the hand that is confirming it.
    while (this.#syncing !== undefined) await this.#syncing;
    // The event loop is over with: now it is right to wait for another's lock.
    this.#database.exec(`PRAGMA busy_timeout = ${MOST_BUSY_MS}`);
    this.#write();
    while (this.#syncing !== undefined) await this.#syncing;
    try {
      this.#log?.close();
    } finally {
      this.#database.close();
    }
  }

  #tick(): void {
    if (this.#log?.isThere === false) this.#getInto('gone', GONE);
    else if (this.#problem !== undefined) this.#recover();
    if (this.#problem !== undefined) return;
    try {
      for (const work of this.#housekeepers) work();
    } catch (error) {
      if (codeOf(error) !== BUSY) this.#getInto(troubleOf(error), problemOf(error, troubleOf(error)));
    }
  }

  #getInto(trouble: Trouble | undefined, problem: string): void {
    this.#trouble = trouble;
    this.#problem = problem;
  }

  /** Everything is well again once it has been shown to be. */
  #recover(): void {
    if (this.#trouble === 'damaged') return;
    try {
      if (this.#trouble === 'unproven') probe(this.#database);
    } catch (error) {
      this.#getInto(troubleOf(error) ?? this.#trouble, problemOf(error, troubleOf(error)));
      return;
    }
    if (this.#trouble === 'unconfirmed' && !emptyLog(this.#database)) return;
    this.#trouble = undefined;
    this.#write();
  }

  #write(): void {
    this.#isScheduled = false;
    const group = this.#group;
    try {
      // What is written to a file without a name, or one that is damaged, is lost.
      if (this.#trouble === 'gone' || this.#trouble === 'damaged') throw new Error(this.#problem);
      this.#begin.run();
      this.#companion?.begun();
      for (const { apply } of group.changes) apply();
      this.#commit.run();
      this.#companion?.committed();
    } catch (error) {
      this.#rollBack();
      if (codeOf(error) === BUSY && this.#problem === undefined) this.#waitForLock(error);
      else this.#fail(error);
      return;
    }
    if (this.#trouble === undefined) this.#problem = undefined;
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
    const confirmed = this.#log?.confirm() ?? Promise.resolve(undefined);
    this.#syncing = confirmed.then((error) => {
      this.#syncing = undefined;
      for (const group of groups) this.#synced(group, error);
      this.#sync();
    });
  }

  /** What the disk did not confirm may be gone after a power failure, so it must not be there before one either. */
  #synced(group: Group, error: Error | undefined): void {
    if (error === undefined) {
      group.durable.resolve();
      return;
    }
    if (error.message === GONE) this.#getInto('gone', GONE);
    else this.#getInto('unconfirmed', problemOf(error, 'unconfirmed'));
    for (const { undo } of group.changes) {
      if (undo !== undefined) silently(this.write({ apply: undo, survives: 'process', isLasting: true }));
    }
    rejectAll(group, new UnconfirmedError(error.message));
  }

  #waitForLock(error: unknown): void {
    this.#busySinceMs ??= performance.now();
    const busyMs = performance.now() - this.#busySinceMs;
    if (busyMs >= MOST_BUSY_MS) {
      this.#fail(error);
      return;
    }
    this.#isScheduled = true;
    if (busyMs < EAGER_MS) setImmediate(() => this.#write());
    else setTimeout(() => this.#write(), BUSY_RETRY_MS);
  }

  #fail(error: unknown): void {
    this.#busySinceMs = undefined;
    // On a small disk the write-ahead log itself may be what fills it.
    if (codeOf(error) === FULL) emptyLog(this.#database);
    if (this.#trouble === undefined || codeOf(error) === CORRUPT)
      this.#getInto(troubleOf(error), problemOf(error, troubleOf(error)));
    // A lock may end at any moment: whoever comes then must not be turned away until the next tick.
    if (codeOf(error) === BUSY) this.#retrying ??= setTimeout(() => this.#retry(), LOCKED_RETRY_MS).unref();
    const group = this.#group;
    this.#group = newGroup();
    this.#group.changes = group.changes.filter(({ isLasting }) => isLasting === true);
    rejectAll(group, error);
  }

  #retry(): void {
    this.#retrying = undefined;
    this.#write();
  }

  #rollBack(): void {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    } catch {
      // The next BEGIN fails, and says so.
    }
  }
}
