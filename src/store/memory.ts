import type { Retention } from '../events.ts';
import type { Store } from '../store-types.ts';
import { claimStore } from './claims.ts';
import { KeyIndex } from './key-index.ts';
import { openQueue } from './queue.ts';
import { openStateClock } from './state-clock.ts';
import { openStateInMemory } from './state-file.ts';
import { StateWriter } from './writer.ts';

const WRITTEN = Promise.resolve();

/**
 * State that ends with the process: events that were accepted and not delivered are lost with it, and copies of events
 * delivered before a restart are delivered again.
 */
export function memoryStore(retention: Retention, warn: (sentence: string) => void): Store {
  const database = openStateInMemory();
  const writer = new StateWriter(database, undefined);
  const index = new KeyIndex();
  const know = (key: string, untilMs: number, nowMs: number): void => index.set(key, untilMs, nowMs);
  const { claims, keeping } = claimStore({
    has: (key, nowMs) => index.untilOf(key) > nowMs,
    write: (work) => {
      work();
      return WRITTEN;
    },
    insert: () => undefined,
    know,
  });
  const { queue, close } = openQueue({
    database,
    writer,
    clock: openStateClock(database, writer, warn),
    sealer: undefined,
    keeping,
    retention,
    owner: 0,
    isShared: false,
    warn,
  });
  return {
    ...claims,
    queue,
    rates: undefined,
    problem: () => writer.problem,
    close: () => {
      close();
      return writer.close();
    },
  };
}
