import type { DatabaseSync } from 'node:sqlite';
import type { Retention } from '../events.ts';
import type { EncryptionKey } from '../state-settings.ts';
import type { Store } from '../store-types.ts';
import { ClaimLedger } from './claim-ledger.ts';
import { claimStore, type FlightsHere } from './claims.ts';
import { ownerlessRemover } from './flights.ts';
import { join } from './join.ts';
import { openQueue } from './queue.ts';
import { leaseFreer } from './queue-free.ts';
import { sealerOf } from './seal.ts';
import { Sharing } from './sharing.ts';
import { openStateClock } from './state-clock.ts';
import { explained, openStateFile } from './state-file.ts';
import { StateWriter } from './writer.ts';

export interface SqliteOptions {
  readonly path: string;
  /** The first encrypts, all decrypt; none: events lie readable on the disk. */
  readonly keys: readonly EncryptionKey[];
  readonly retention: Retention;
}

/**
 * State in one SQLite file, which several processes of one machine may share. A kept claim is in the write-ahead log
 * before the sender is answered, so it survives the death of the process; nobody waits for the fsync, so a power failure
 * may lose the last moments, and an event of these can be delivered once more. An event of the queue, with its claim,
 * survives a power failure too. What a process had in flight or leased that is gone is free at once.
 * @param warn told of processes that are gone, and of events that cannot be read
 * @throws StateFileError, Error as `openStateFile` and `join` do
 */
export async function sqliteStore(options: SqliteOptions, warn: (sentence: string) => void): Promise<Store> {
  const database = openStateFile(options.path);
  try {
    return await openStore(database, options, warn);
  } catch (error) {
    database.close();
    throw explained(error);
  }
}

async function openStore(
  database: DatabaseSync,
  { path, keys, retention }: SqliteOptions,
  warn: (sentence: string) => void,
): Promise<Store> {
  // Before others wait for this process: with millions of claims it takes seconds.
  const ledger = new ClaimLedger(database);
  const [removeFlights, freeLeases] = [ownerlessRemover(database), leaseFreer(database)];
  const removeOwnerless = () => {
    removeFlights();
    freeLeases();
  };
  const { presence, isAlone } = await join({ database, removeOwnerless, warn });
  const writer = new StateWriter(database, path);
  writer.housekeep(ledger.forgetter());
  const here: FlightsHere = new Map();
  const freed = () => wake();
  const parts = { database, writer, presence, ledger, here, removeOwnerless, freed, warn };
  const sharing = new Sharing({ ...parts, isAlone });
  const { claims, keeping } = claimStore(
    {
      has: (key, nowMs) => {
        // What cannot be written down must not be delivered: nobody would know its copies for what they are.
        if (writer.problem !== undefined) throw new Error(writer.problem);
        return ledger.isKept(key, nowMs) && sharing.confirms(key, nowMs);
      },
      write: (work) => writer.write({ apply: work, survives: 'process', isLasting: true }),
      insert: (key, untilMs) => ledger.insert(key, untilMs),
      know: (key, untilMs, nowMs) => ledger.know(key, untilMs, nowMs),
    },
    here,
    sharing,
  );
  const { queue, wake, close } = openQueue({
    database,
    writer,
    clock: openStateClock(database, writer, warn),
    sealer: sealerOf(keys),
    keeping,
    retention,
    owner: presence.id,
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
      sharing.leave();
      await writer.close();
      presence.lock.letGo();
    },
  };
}
