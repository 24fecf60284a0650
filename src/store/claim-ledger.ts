import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { KeyIndex } from './key-index.ts';

const FORGET_ROWS = 5000;
/** A time that is past, and not 0, which the index takes for a free slot. */
const FORGOTTEN = 1;

interface Row {
  readonly id: number;
  readonly key: string;
  readonly until: number;
}

/**
 * The kept claims in the state file, and the index in memory by which they are found. Rows are only ever appended, with
 * ascending numbers, so that whoever has read up to one finds what others have written since behind it. The latest row
 * of a key counts; one with `until` 0 says that the event may come again.
 */
export class ClaimLedger {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #after: StatementSync;
  readonly #between: StatementSync;
  readonly #index = new KeyIndex();
  /** The index knows all rows up to this one; those of this process it knows once they are there to stay. */
  #readTo: number;
  /** The same, if the transaction under way comes about. */
  #readToThen: number;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#insert = database.prepare('INSERT INTO claims (key, until) VALUES (?, ?)');
    this.#after = database.prepare('SELECT id, key, until FROM claims WHERE id > ? ORDER BY id');
    this.#between = database.prepare('SELECT id, key, until FROM claims WHERE id > ? AND id < ? ORDER BY id');
    this.#readTo = newestOf(database);
    this.#readToThen = this.#readTo;
    const live = database.prepare(
      'SELECT id, key, until FROM claims WHERE until > ? OR until = 0 ORDER BY id',
    );
    this.#take(live.iterate(Date.now()) as unknown as Iterable<Row>);
  }

  isKept(key: string, nowMs: number): boolean {
    return this.#index.untilOf(key) > nowMs;
  }

  /** What `insert` wrote is there to stay. */
  know(key: string, untilMs: number, nowMs: number): void {
    this.#index.set(key, untilMs, nowMs);
  }

  /** Belongs into a transaction; `isKept` does not know it yet. */
  insert(key: string, untilMs: number): void {
    const id = Number(this.#insert.run(key, untilMs).lastInsertRowid);
    if (id > this.#readToThen + 1) {
      this.#take(this.#between.iterate(this.#readToThen, id) as unknown as Iterable<Row>);
    }
    this.#readToThen = id;
  }

  /** Reads what other processes have written. Not within a transaction that has inserted. */
  follow(): void {
    this.#readTo = Math.max(
      this.#readTo,
      this.#take(this.#after.iterate(this.#readTo) as unknown as Iterable<Row>),
    );
    this.#readToThen = this.#readTo;
  }

  /** A transaction begins. */
  begun(): void {
    this.#readToThen = this.#readTo;
  }

  /** It came about. */
  committed(): void {
    this.#readTo = this.#readToThen;
  }

  #take(rows: Iterable<Row>): number {
    const nowMs = Date.now();
    let last = 0;
    for (const { id, key, until } of rows) {
      this.#index.set(key, until === 0 ? FORGOTTEN : until, nowMs);
      last = id;
    }
    return last;
  }

  /** What to do once a second: a stretch of the file is cleared of old claims. */
  forgetter(): () => void {
    const forget = this.#database.prepare(
      'DELETE FROM claims WHERE id > ? AND id <= ? AND id < ? AND until BETWEEN 1 AND ?',
    );
    const oldest = this.#database.prepare('SELECT min(id) AS id FROM claims');
    const oldestLive = this.#database.prepare('SELECT min(id) AS id FROM claims WHERE id < ? AND until > ?');
    const forgetForgotten = this.#database.prepare('DELETE FROM claims WHERE id < ? AND until = 0');
    let forgottenTo = 0;
    return () => {
      const nowMs = Date.now();
      // Without the newest row its number would be given again, and those who have read up to it would miss one.
      const newest = newestOf(this.#database);
      if (forgottenTo >= newest) forgottenTo = 0;
      const to = forgottenTo + FORGET_ROWS;
      forget.run(forgottenTo, to, newest, nowMs);
      forgottenTo = to;
      // One with `until` 0 has to outlive all that it takes back.
      const end = Math.min(newest, Number(oldest.get()?.id ?? 0) + FORGET_ROWS);
      forgetForgotten.run(Number(oldestLive.get(end, nowMs)?.id ?? end));
    };
  }
}

function newestOf(database: DatabaseSync): number {
  return Number(database.prepare('SELECT max(id) AS id FROM claims').get()?.id ?? 0);
}
