import type { AcceptedClaim } from '../events.ts';
import type { ClaimAnswer, Claims, ClaimToken } from '../store-types.ts';
import type { Settlement } from '../types.ts';
import { bootMs } from './boot-clock.ts';

/** Where kept claims are written down; the drivers differ only in this. */
export interface KeptClaims {
  /** @throws Error where the claims cannot be read, or could not be written if this event were delivered now */
  has(key: string, nowMs: number): boolean;
  /** Has this done inside of a transaction; resolves once that is written. It is tried again until it is. */
  write(work: () => void): Promise<void>;
  /** Writes the claim inside of a transaction; `has` does not know it yet. A time that is past takes it back. */
  insert(key: string, untilMs: number): void;
  /** What `insert` wrote is there to stay. */
  know(key: string, untilMs: number, nowMs: number): void;
}

/** Claims in flight of other processes that share the state. */
export interface OthersClaims {
  /** There are none: what is in flight here need not be known elsewhere. */
  readonly isAlone: boolean;
  /** Takes the claim unless another process has it; `undefined`: taken. Rejects where it cannot be written. */
  take(key: string, flight: Flight): Promise<ClaimAnswer | undefined>;
  /** Both belong into a transaction. */
  isMine(key: string, flight: Flight): boolean;
  end(key: string, flight: Flight, settlement: Settlement): void;
}

/** A claim in flight of this process. */
export interface Flight {
  readonly token: number;
  /** By `bootMs`: no jump of the wall clock makes two deliver at once. */
  readonly untilMs: number;
  /** Made when the first copy waits for it. */
  settled: PromiseWithResolvers<Settlement | undefined> | undefined;
  /** `asking`: another process may have the claim; `ending`: what becomes of it is being written. */
  phase: 'asking' | 'open' | 'ending';
  /** Other processes can see it. */
  isShared: boolean;
}

export type FlightsHere = Map<string, Flight>;

/** A claim that is being kept in one step with the event that it is for. */
export interface Kept {
  /** Belongs into the transaction that writes the event. @returns false: another has the claim by now, nothing is written */
  write(): boolean;
  /** Belongs into the transaction that removes the event again. */
  takeBack(): void;
  /** The event is on disk: its copies are duplicates from now on. */
  done(): void;
  /** It is not: the next copy may try. */
  failed(error: Error): void;
}

/** @throws Error where the claim is no longer this token's */
export type Keeping = (claim: AcceptedClaim) => Kept;

const DONE = Promise.resolve();
const ACCEPTED: Settlement = Object.freeze({ status: 202 });

/**
 * Claims in flight live in this process: a crash frees them at once, and nobody waits for the dead. Where others share
 * the state they stand there as well. Kept claims are the driver's.
 */
export function claimStore(
  kept: KeptClaims,
  here: FlightsHere = new Map(),
  others?: OthersClaims,
): { readonly claims: Claims; readonly keeping: Keeping } {
  let lastToken = 0;

  function flightOf(key: string, token: ClaimToken): Flight | undefined {
    const flight = here.get(key);
    return flight?.token === token ? flight : undefined;
  }

  /** `undefined`: whoever waited has to ask again. */
  function finish(key: string, flight: Flight, settlement: Settlement | undefined): void {
    if (here.get(key) === flight) here.delete(key);
    flight.settled?.resolve(settlement);
  }

  async function takeFromOthers(key: string, flight: Flight, from: OthersClaims): Promise<ClaimAnswer> {
    try {
      const answer = await from.take(key, flight);
      if (answer === undefined) {
        flight.phase = 'open';
        return { state: 'owned', token: flight.token };
      }
      finish(key, flight, undefined);
      return answer;
    } catch (error) {
      finish(key, flight, undefined);
      throw error;
    }
  }

  function release(key: string, flight: Flight, settlement: Settlement): void {
    if (flight.isShared) kept.write(() => others?.end(key, flight, settlement)).catch(() => undefined);
    finish(key, flight, settlement);
  }

  const claims: Claims = {
    claim(key, leaseMs) {
      const nowMs = bootMs();
      const current = here.get(key);
      if (current !== undefined && current.untilMs > nowMs) {
        current.settled ??= Promise.withResolvers<Settlement | undefined>();
        return { state: 'in flight', settled: current.settled.promise };
      }
      if (kept.has(key, Date.now())) return { state: 'kept' };
      lastToken += 1;
      const flight: Flight = {
        token: lastToken,
        untilMs: nowMs + leaseMs,
        // An overrun claim is taken over with its waiters: the new owner's outcome is theirs too.
        settled: current?.settled,
        phase: 'open',
        isShared: false,
      };
      here.set(key, flight);
      if (others === undefined || others.isAlone) return { state: 'owned', token: lastToken };
      flight.phase = 'asking';
      return takeFromOthers(key, flight, others);
    },
    keep(key, token, settlement, rememberMs) {
      const flight = flightOf(key, token);
      if (flight === undefined) return DONE;
      const untilMs = Date.now() + rememberMs;
      let isMine = true;
      flight.phase = 'ending';
      const written = kept.write(() => {
        isMine = !flight.isShared || others === undefined || others.isMine(key, flight);
        if (!isMine) return;
        kept.insert(key, untilMs);
        if (flight.isShared) others?.end(key, flight, settlement);
      });
      const finished = () => {
        if (isMine) kept.know(key, untilMs, Date.now());
        finish(key, flight, settlement);
      };
      written.then(finished, finished);
      return written;
    },
    release(key, token, settlement) {
      const flight = flightOf(key, token);
      if (flight !== undefined) release(key, flight, settlement);
    },
  };

  function keeping({ key, token, rememberMs }: AcceptedClaim): Kept {
    const flight = flightOf(key, token);
    if (flight === undefined) throw new Error(OVERRUN);
    const untilMs = Date.now() + rememberMs;
    return {
      write: () => {
        if (here.get(key) !== flight) return false;
        if (flight.isShared && others?.isMine(key, flight) === false) return false;
        kept.insert(key, untilMs);
        return true;
      },
      takeBack: () => kept.insert(key, 0),
      // Not before the disk has confirmed the event: until then its copies wait, at every process.
      done: () => {
        kept.know(key, untilMs, Date.now());
        release(key, flight, ACCEPTED);
      },
      failed: ({ message }) => release(key, flight, { reason: 'state.unavailable', detail: message }),
    };
  }

  return { claims, keeping };
}

/** Another took the claim over, since it was in flight for longer than it could be. */
export const OVERRUN = 'the claim was overrun';
