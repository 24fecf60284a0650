import type { DatabaseSync } from 'node:sqlite';
import type { Queue, Retention } from '../events.ts';
import { type Books, openBooks } from './books.ts';
import type { Keeping } from './claims.ts';
import { type Order, openOrder } from './order.ts';
import { type Opener, opener } from './payload.ts';
import { acceptor, Unconfirmed } from './queue-accept.ts';
import { counter } from './queue-counts.ts';
import { leaser } from './queue-lease.ts';
import { quarantiner } from './queue-quarantine.ts';
import { releaser } from './queue-release.ts';
import { settler } from './queue-settle.ts';
import { Watch } from './queue-watch.ts';
import { type Removable, remover } from './remove.ts';
import { retain } from './retention.ts';
import type { Sealer } from './seal.ts';
import type { StateClock } from './state-clock.ts';
import { openUnreadable, type Unreadable } from './unreadable.ts';
import type { StateWriter } from './writer.ts';

export interface QueueOptions {
  readonly database: DatabaseSync;
  readonly writer: StateWriter;
  readonly clock: StateClock;
  /** `undefined`: payloads are stored as they are. */
  readonly sealer: Sealer | undefined;
  readonly keeping: Keeping;
  readonly retention: Retention;
  /** Names this process among those that share the state. */
  readonly owner: number;
  /** Whether other processes may change the state. */
  readonly isShared: boolean;
  readonly warn: (sentence: string) => void;
}

/** What the parts of the queue have in common. */
export interface QueueParts extends QueueOptions {
  readonly books: Books;
  readonly order: Order;
  readonly opener: Opener;
  readonly unconfirmed: Unconfirmed;
  readonly unreadable: Unreadable;
  readonly remove: (event: Removable) => boolean;
  readonly watch: Watch;
}

/** A queue, and what its end takes. */
export interface SqliteQueue {
  readonly queue: Queue;
  /** Events may have become due on any route. */
  wake(): void;
  close(): void;
}

/** The durable queue on an SQLite database, in a file or in memory. */
export function openQueue(options: QueueOptions): SqliteQueue {
  const { database, writer, isShared, warn } = options;
  const [books, order] = [openBooks(database), openOrder(database)];
  const pieces = opener(options.sealer);
  const watch = new Watch(database, isShared);
  const parts: QueueParts = {
    ...options,
    books,
    order,
    opener: pieces,
    unconfirmed: new Unconfirmed(),
    unreadable: openUnreadable(database, writer, pieces, warn),
    remove: remover(database, books, order),
    watch,
  };
  const stopRemoving = retain(parts);
  options.clock.onLeap = () => watch.wakeAll();
  return {
    queue: {
      ...acceptor(parts),
      quarantine: quarantiner(parts),
      release: releaser(parts),
      lease: leaser(parts),
      ...settler(parts),
      watch: (wake) => watch.add(wake),
      counts: counter(parts),
    },
    wake: () => watch.wakeAll(),
    close: () => {
      watch.close();
      stopRemoving();
    },
  };
}
