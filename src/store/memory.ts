import type { Store } from '../types.ts';
import { claimStore } from './claims.ts';
import { KeyIndex } from './key-index.ts';

const WRITTEN = Promise.resolve();

/** State that ends with the process: copies of events delivered before a restart are delivered again. */
export function memoryStore(): Store {
  const index = new KeyIndex();
  const claims = claimStore({
    has: (key, nowMs) => index.untilOf(key) > nowMs,
    add: (key, untilMs, nowMs) => {
      index.set(key, untilMs, nowMs);
      return WRITTEN;
    },
  });
  return { ...claims, problem: () => undefined, close: () => undefined };
}
