import type { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { goneSentence } from './gone.ts';
import { enter, lockOfGone, type Neighbour, neighbourList, type Presence } from './presence.ts';
import { InUseError } from './state-file.ts';

const LOOK_AGAIN_MS = 10;
const HAND_OVER_MS = 5000;
const LOCK_TIMEOUT_MS = 2000;

export interface JoinOptions {
  readonly database: DatabaseSync;
  /** Belongs into a transaction: what processes had in flight or leased that are not there any more is free. */
  readonly removeOwnerless: () => void;
  readonly warn: (sentence: string) => void;
}

export interface Joined {
  readonly presence: Presence;
  /** No other process uses the file. */
  readonly isAlone: boolean;
}

/**
 * Makes this process one of those that use the state file. Resolves once it may claim: a process that was alone has
 * written down by then what it has in flight.
 * @throws InUseError where such a process does not answer
 */
export async function join(options: JoinOptions): Promise<Joined> {
  const { database } = options;
  database.exec(`PRAGMA busy_timeout = ${LOCK_TIMEOUT_MS}`);
  let presence: Presence | undefined;
  const isAlone = clearing(options, (living) => {
    presence = enter(database, living.length === 0);
    return living.length === 0;
  });
  const entered = presence as unknown as Presence;
  try {
    await othersShare(options, entered);
  } catch (error) {
    transact(database, () => {
      entered.remove(entered.id);
      entered.lock.removeFile();
    });
    entered.lock.letGo();
    throw error;
  }
  database.exec('PRAGMA busy_timeout = 0');
  return { presence: entered, isAlone };
}

async function othersShare(options: JoinOptions, { id }: Presence): Promise<void> {
  const { database } = options;
  const list = neighbourList(database);
  const byMs = performance.now() + HAND_OVER_MS;
  for (;;) {
    const silent = list().find((one) => one.isAlone && one.id !== id);
    if (silent === undefined) return;
    if (isGone(database, silent)) clearing(options, () => undefined, id);
    else if (performance.now() > byMs) {
      throw new InUseError(
        `in use by another process (pid ${silent.pid}), which has not answered within ${HAND_OVER_MS / 1000} s: it is stopped, or busy with something else; end it, or start again`,
      );
    }
    await setTimeout(LOOK_AGAIN_MS);
  }
}

function isGone(database: DatabaseSync, { id }: Neighbour): boolean {
  const lock = lockOfGone(database, id);
  lock?.letGo();
  return lock !== undefined;
}

/**
 * In one transaction: clears the file of processes that are gone, and does something with those that live.
 * @param own this process, if it stands in the file
 */
function clearing<T>(
  { database, removeOwnerless, warn }: JoinOptions,
  work: (living: readonly Neighbour[]) => T,
  own?: number,
): T {
  const remove = database.prepare('DELETE FROM processes WHERE id = ?');
  const gone: { readonly pid: number; readonly lock: NonNullable<ReturnType<typeof lockOfGone>> }[] = [];
  try {
    const result = transact(database, () => {
      const living = neighbourList(database)().filter(({ id, pid }) => {
        const lock = id === own ? undefined : lockOfGone(database, id);
        if (lock === undefined) return true;
        gone.push({ pid, lock });
        // Before its entry is: without a file it counts as gone, and without an entry nobody would look for its file.
        lock.removeFile();
        remove.run(id);
        return false;
      });
      removeOwnerless();
      return work(living);
    });
    for (const { pid } of gone) warn(goneSentence(pid));
    return result;
  } finally {
    for (const { lock } of gone) lock.letGo();
  }
}

function transact<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
