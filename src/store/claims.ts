import type { AcceptedClaim } from '../events.ts';
import type { ClaimAnswer, Claims, ClaimToken, Settlement } from '../types.ts';

/** Where kept claims are written down; the drivers differ only in this. */
export interface KeptClaims {
  /** @throws Error where the claims cannot be read, or could not be written if this event were delivered now */
  has(key: string, nowMs: number): boolean;
  /** Resolves once the claim is written. */
  add(key: string, untilMs: number, nowMs: number): Promise<void>;
  /** Writes the claim inside of a transaction; `has` does not know it yet. A time that is past takes it back. */
  insert(key: string, untilMs: number): void;
  /** What `insert` wrote is there to stay. */
  know(key: string, untilMs: number, nowMs: number): void;
}

/** A claim that is being kept in one step with the event that it is for. */
export interface Kept {
  /** Belong into the transaction that writes the event, and into the one that removes it again. */
  write(): void;
  takeBack(): void;
  /** The event is on disk: its copies are duplicates from now on. */
  done(): void;
  /** It is not: the next copy may try. */
  failed(error: Error): void;
}

/** @throws Error where the claim is no longer this token's */
export type Keeping = (claim: AcceptedClaim) => Kept;

interface InFlight {
  token: number;
  untilMs: number;
  /** Made when the first copy waits for it. */
  settled: PromiseWithResolvers<Settlement> | undefined;
}

const DONE = Promise.resolve();
const ACCEPTED: Settlement = Object.freeze({ status: 202 });

/**
 * Claims in flight live in this process: a crash frees them at once, and nobody waits for the dead. Kept claims are
 * the driver's.
 */
export function claimStore(kept: KeptClaims): { readonly claims: Claims; readonly keeping: Keeping } {
  const inFlight = new Map<string, InFlight>();
  let lastToken = 0;

  function finish(key: string, token: ClaimToken, settlement: Settlement): void {
    const claim = inFlight.get(key);
    if (claim?.token !== token) return;
    inFlight.delete(key);
    claim.settled?.resolve(settlement);
  }

  const claims: Claims = {
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
  };

  function keeping({ key, token, rememberMs }: AcceptedClaim): Kept {
    if (inFlight.get(key)?.token !== token) throw new Error('the claim was overrun');
    const untilMs = Date.now() + rememberMs;
    return {
      write: () => kept.insert(key, untilMs),
      takeBack: () => kept.insert(key, 0),
      done: () => {
        kept.know(key, untilMs, Date.now());
        finish(key, token, ACCEPTED);
      },
      failed: ({ message }) => finish(key, token, { reason: 'state.unavailable', detail: message }),
    };
  }

  return { claims, keeping };
}
