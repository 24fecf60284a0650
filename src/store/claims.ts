import type { ClaimAnswer, Settlement, Store } from '../types.ts';

/** Where kept claims are written down; the drivers differ only in this. */
export interface KeptClaims {
  /** @throws Error where the claims cannot be read, or could not be written if this event were delivered now */
  has(key: string, nowMs: number): boolean;
  /** Resolves once the claim is written. */
  add(key: string, untilMs: number): Promise<void>;
  problem(): string | undefined;
  close(): void;
}

interface InFlight {
  token: number;
  untilMs: number;
  settled: PromiseWithResolvers<Settlement>;
}

/**
 * Claims in flight live in this process: a crash frees them at once, and nobody waits for the dead. Kept claims are
 * the driver's.
 */
export function claimStore(kept: KeptClaims): Store {
  const inFlight = new Map<string, InFlight>();
  let lastToken = 0;

  function finish(key: string, token: number): InFlight | undefined {
    const claim = inFlight.get(key);
    if (claim?.token !== token) return undefined;
    inFlight.delete(key);
    return claim;
  }

  return {
    claim(key, leaseMs): ClaimAnswer {
      const nowMs = Date.now();
      const current = inFlight.get(key);
      if (current !== undefined && current.untilMs > nowMs) {
        return { state: 'in flight', settled: current.settled.promise };
      }
      if (kept.has(key, nowMs)) return { state: 'kept' };
      lastToken += 1;
      // An overrun claim is taken over with its waiters: the new owner's outcome is theirs too.
      const settled = current?.settled ?? Promise.withResolvers<Settlement>();
      inFlight.set(key, { token: lastToken, untilMs: nowMs + leaseMs, settled });
      return { state: 'owned', token: lastToken };
    },
    async keep(key, token, settlement, rememberMs) {
      if (inFlight.get(key)?.token !== token) return;
      try {
        await kept.add(key, Date.now() + rememberMs);
      } finally {
        finish(key, token)?.settled.resolve(settlement);
      }
    },
    release(key, token, settlement) {
      finish(key, token)?.settled.resolve(settlement);
    },
    problem: () => kept.problem(),
    close: () => kept.close(),
  };
}
