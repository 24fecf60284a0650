import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Retention } from '../events.ts';
import type { EncryptionKey } from '../settings.ts';
import type { Store } from '../types.ts';
import { claimStore, type KeptClaims } from './claims.ts';
import { KeyIndex } from './key-index.ts';
import { openQueue } from './queue.ts';
import { sealer } from './seal.ts';
import { openStateClock } from './state-clock.ts';
import { openStateFile } from './state-file.ts';
import { StateWriter } from './writer.ts';

const FORGET_ROWS = 5000;

export interface SqliteOptions {
  readonly path: string;
  /** The first encrypts, all decrypt; none: events lie readable on the disk. */
  readonly keys: readonly EncryptionKey[];
  readonly retention: Retention;
}

/**
 * State in one SQLite file. A kept claim is in the write-ahead log before the sender is answered, so it survives the
 * death of the process; nobody waits for the fsync, so a power failure may lose the last moments, and an event of these
 * can be delivered once more. An event of the queue, with its claim, survives a power failure too.
 * @param warn told where another process uses the file too, and of events that cannot be read
 * @throws StateFileError, Error as `openStateFile` does
 */
export function sqliteStore({ path, keys }: SqliteOptions, warn: (sentence: string) => void): Store {
  const { database, owner } = openStateFile(path);
  if (owner === undefined) {
    warn(
      `${path} is in use by another process: each knows only its own claims, and an event sent to both is delivered twice`,
    );
  } else {
    // Nobody else is there: what is leased was leased by a process that is gone.
    database.exec("UPDATE events SET state = 'waiting', until = NULL WHERE state = 'delivering'");
  }
  const writer = new StateWriter(database, path);
  const { claims, keeping } = claimStore(keptClaims(database, writer));
  const [first, ...others] = keys;
  const { queue, close } = openQueue({
    database,
    writer,
    clock: openStateClock(database),
    sealer: first === undefined ? undefined : sealer([first, ...others]),
    keeping,
    owner: 0,
    isShared: true,
    warn,
  });
  return {
    ...claims,
    queue,
    rates: undefined,
    problem: () => writer.problem,
    close: async () => {
      close();
      await writer.close();
      owner?.close();
    },
  };
}

function keptClaims(database: DatabaseSync, writer: StateWriter): KeptClaims {
  const insert = database.prepare('INSERT INTO claims (key, until) VALUES (?, ?)');
  const index = new KeyIndex();
  load(database, index);
  writer.housekeep(forgetter(database));
  return {
    has: (key, nowMs) => {
      // What cannot be written down must not be delivered: nobody would know its copies for what they are.
      if (writer.problem !== undefined) throw new Error(writer.problem);
      return index.untilOf(key) > nowMs;
    },
    add: (key, untilMs, nowMs) => {
      index.set(key, untilMs, nowMs);
      return writer.write({ apply: () => insert.run(key, untilMs), survives: 'process', isLasting: true });
    },
    insert: (key, untilMs) => void insert.run(key, untilMs),
    know: (key, untilMs, nowMs) => index.set(key, untilMs, nowMs),
  };
}

function load(database: DatabaseSync, index: KeyIndex): void {
  const nowMs = Date.now();
  const rows = database.prepare('SELECT key, until FROM claims WHERE until > ?').iterate(nowMs);
  for (const { key, until } of rows as Iterable<{ key: string; until: number }>) index.set(key, until, nowMs);
}

/** Once a second a stretch of the file is cleared of old claims. */
function forgetter(database: DatabaseSync): () => void {
  const forget: StatementSync = database.prepare(
    'DELETE FROM claims WHERE id > ? AND id <= ? AND until <= ?',
  );
  const newest = database.prepare('SELECT max(id) AS last FROM claims');
  let forgottenTo = 0;
  return () => {
    const { last } = newest.get() as { last: number | null };
    if (forgottenTo >= (last ?? 0)) forgottenTo = 0;
    const to = forgottenTo + FORGET_ROWS;
    forget.run(forgottenTo, to, Date.now());
    forgottenTo = to;
  };
}
