import type { Store } from '../types.ts';
import { claimStore } from './claims.ts';

const SWEEP_MS = 60_000;
const WRITTEN = Promise.resolve();

/** State that ends with the process: duplicates of events delivered before a restart are delivered again. */
export function memoryStore(): Store {
  const untilMsByKey = new Map<string, number>();
  const sweep = setInterval(() => {
    const nowMs = Date.now();
    for (const [key, untilMs] of untilMsByKey) if (untilMs <= nowMs) untilMsByKey.delete(key);
  }, SWEEP_MS);
  sweep.unref();
  return claimStore({
    has: (key, nowMs) => (untilMsByKey.get(key) ?? 0) > nowMs,
    add: (key, untilMs) => {
      untilMsByKey.set(key, untilMs);
      return WRITTEN;
    },
    problem: () => undefined,
    close: () => clearInterval(sweep),
  });
}
