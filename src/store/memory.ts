import type { Store } from '../types.ts';
import { claimStore } from './claims.ts';
import { KeyIndex } from './key-index.ts';

const WRITTEN = Promise.resolve();

/** State that ends with the process: copies of events delivered before a restart are delivered again. */
export function memoryStore(): Store {
  const index = new KeyIndex();
  return claimStore({
    has: (key, nowMs) => index.untilOf(key) > nowMs,
    add: (key, untilMs, nowMs) => {
      index.set(key, untilMs, nowMs);
      return WRITTEN;
    },
    problem: () => undefined,
    close: () => undefined,
  });
}
