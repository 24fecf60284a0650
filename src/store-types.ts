import type { Queue } from './events.ts';
import type { Settlement } from './types.ts';

/** Names the owner of a claim: only it can settle that. */
export type ClaimToken = string | number;

/** What a store says of an event's id. */
export type ClaimAnswer =
  | { readonly state: 'owned'; readonly token: ClaimToken }
  | { readonly state: 'kept' }
  /** `undefined`: the claim is void, its process being gone; ask again. */
  | { readonly state: 'in flight'; readonly settled: Promise<Settlement | undefined> };

/** Remembers which events are being delivered and which were. */
export interface Claims {
  /**
   * Claims an event for delivery. The claim is void after `leaseMs`, so that one that is never settled frees itself.
   * Throws or rejects where the state cannot be read or written: nothing may be delivered then.
   */
  claim(key: string, leaseMs: number): ClaimAnswer | Promise<ClaimAnswer>;
  /**
   * The event was delivered: its copies are duplicates for `rememberMs`. Resolves once that is written, rejects where
   * it cannot be. Does nothing for a token that no longer owns the claim.
   */
  keep(key: string, token: ClaimToken, settlement: Settlement, rememberMs: number): Promise<void>;
  /** The event was not delivered: the next copy may try. */
  release(key: string, token: ClaimToken, settlement: Settlement): void;
}

/** Rate limits that several gateways share. */
export interface SharedRates {
  /**
   * Takes one of what the limit lets in (GCRA), now or in advance.
   * @param key names the limit and who is counted
   * @param longestMs how long this one may wait for its turn; 0 or less: not at all
   * Rejects where the state is out of reach
   */
  take(key: string, cells: Cells, longestMs: number): Promise<Taken>;
}

/** What a limit lets in, in milliseconds. */
export interface Cells {
  /** The time of one request at the limit's rate. */
  readonly intervalMs: number;
  /** How far ahead of that rate a burst may be. */
  readonly toleranceMs: number;
  /** How long anybody may wait. */
  readonly waitMs: number;
}

export interface Taken {
  /** Whether one was taken; if so `afterMs` is how long to wait for it, else when the next one could be. */
  readonly isTaken: boolean;
  readonly afterMs: number;
}

/** What outlives a request. */
export interface Store extends Claims {
  readonly queue: Queue;
  /** `undefined`: each process counts for itself. */
  readonly rates: SharedRates | undefined;
  /** Why the state is out of reach at the moment; `undefined`: all is well. */
  problem(): string | undefined;
  /** Resolves once everything is written. */
  close(): Promise<void>;
}
