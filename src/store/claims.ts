import type { ClaimAnswer, ClaimToken, Settlement, Store } from '../types.ts';

/** Where kept claims are written down; the drivers differ only in this. */
export interface KeptClaims {
  /** @throws Error where the claims cannot be read, or could not be written if this event were delivered now */
  has(key: string, nowMs: number): boolean;
  /** Resolves once the claim is written. */
  add(key: string, untilMs: number, nowMs: number): Promise<void>;
  problem(): string | undefined;
  close(): void;
}

interface InFlight {
  token: number;
  untilMs: number;
  /** Made when the first copy waits for it. */
  settled: PromiseWithResolvers<Settlement> | undefined;
}

const DONE = Promise.resolve();

/**
 * Claims in flight live in this process: a crash frees them at once, and nobody waits for the dead. Kept claims are
 * the driver's.
 */
export function claimStore(kept: KeptClaims): Store {
  const inFlight = new Map<string, InFlight>();
  let lastToken = 0;

  function finish(key: string, token: ClaimToken, settlement: Settlement): void {
    const claim = inFlight.get(key);
    if (claim?.token !== token) return;
    inFlight.delete(key);
    claim.settled?.resolve(settlement);
  }

  return {
    claim(key, leaseMs): ClaimAnswer {
      const nowMs = Date.now();
      const current = inFlight.get(key);
      if (current !== undefined && current.untilMs > nowMs) {
        current.settled ??= Promise.withResolvers<Settlement>();
        return { state: 'in flight', settled: current.settled.promise };
      }
      if (kept.has(key, nowMs)) return { state: 'kept' };
      lastToken += 1;
      // An overrun claim is taken over with its waiters: the new owner's outcome is theirs too.
      inFlight.set(key, { token: lastToken, untilMs: nowMs + leaseMs, settled: current?.settled });
      return { state: 'owned', token: lastToken };
    },
    keep(key, token, settlement, rememberMs) {
      if (inFlight.get(key)?.token !== token) return DONE;
      const nowMs = Date.now();
      const written = kept.add(key, nowMs + rememberMs, nowMs);
      const finished = () => finish(key, token, settlement);
      written.then(finished, finished);
      return written;
    },
    release: finish,
    rates: undefined,
    problem: () => kept.problem(),
    close: async () => kept.close(),
  };
}
