import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { ClaimAnswer, Settlement } from '../types.ts';
import type { ClaimLedger } from './claim-ledger.ts';
import type { Flight, FlightsHere, OthersClaims } from './claims.ts';
import { type Flights, openFlights } from './flights.ts';
import type { Presence } from './presence.ts';
import type { ProcessLock } from './process-lock.ts';
import type { StateWriter } from './writer.ts';

/** How soon a copy hears of an outcome elsewhere, and a process that starts of those that run. */
const POLL_MS = 50;
/** Whoever finds an event in flight elsewhere asks whether that process lives, but not more often than this. */
const ASK_AGAIN_MS = 100;
const GONE = 'state file: another process took this one for gone, and delivers what it delivered; restart';

/** What the queue does about events leased by processes that are gone. */
export interface Leases {
  /** Belongs into a transaction: leases of processes that do not stand in the file any more are void. */
  removeOwnerless(): void;
  /** That was written. */
  freed(): void;
}

export interface SharingOptions {
  readonly database: DatabaseSync;
  readonly writer: StateWriter;
  readonly presence: Presence;
  /** No other process uses the file at the moment. */
  readonly isAlone: boolean;
  readonly ledger: ClaimLedger;
  readonly here: FlightsHere;
  readonly leases: Leases;
  readonly warn: (sentence: string) => void;
}

/**
 * Claims among processes that share one state file. A process that is alone keeps what is in flight to itself. Before
 * another may claim, it writes that down, says so (`processes.alone`), and from then on each claim is one atomic step in
 * the file. What others wrote is noticed by `data_version`, which costs a look at shared memory.
 */
export class Sharing implements OthersClaims {
  readonly #writer: StateWriter;
  readonly #presence: Presence;
  readonly #ledger: ClaimLedger;
  readonly #here: FlightsHere;
  readonly #flights: Flights;
  readonly #leases: Leases;
  readonly #warn: (sentence: string) => void;
  readonly #version: StatementSync;
  readonly #polling: NodeJS.Timeout;
  /** Copies that wait for outcomes elsewhere, by key. */
  readonly #waits = new Map<string, PromiseWithResolvers<Settlement | undefined>>();
  readonly #burying = new Set<number>();
  #isAlone: boolean;
  #isSwitching = false;
  #seen: unknown;
  #askedMs = 0;

  constructor({ database, writer, presence, isAlone, ledger, here, leases, warn }: SharingOptions) {
    this.#writer = writer;
    this.#presence = presence;
    this.#isAlone = isAlone;
    this.#ledger = ledger;
    this.#here = here;
    this.#flights = openFlights(database, presence.id);
    this.#leases = leases;
    this.#warn = warn;
    this.#version = database.prepare('PRAGMA data_version');
    writer.accompany({
      begun: () => {
        if (!this.#isAlone) ledger.follow();
        ledger.begun();
      },
      committed: () => ledger.committed(),
    });
    writer.housekeep(() => this.#housekeep());
    this.#polling = setInterval(() => this.notice(), POLL_MS).unref();
  }

  get isAlone(): boolean {
    return this.#isAlone;
  }

  /** Whether a claim that the ledger has is one to go by: it was not taken back, and the disk has confirmed it. */
  confirms(key: string, nowMs: number): boolean {
    this.notice();
    if (!this.#ledger.isKept(key, nowMs)) return false;
    return this.#isAlone || this.#flights.stateOf(key, nowMs) !== 'in flight';
  }

  async take(key: string, flight: Flight): Promise<ClaimAnswer | undefined> {
    const waiting = this.#waits.get(key);
    if (waiting !== undefined) return { state: 'in flight', settled: waiting.promise };
    let found: 'mine' | 'kept' | 'elsewhere' = 'mine';
    await this.#writer.write({
      survives: 'process',
      apply: () => {
        found = this.#tryTake(key, flight);
      },
    });
    switch (found as 'mine' | 'kept' | 'elsewhere') {
      case 'mine':
        return undefined;
      case 'kept':
        return { state: 'kept' };
      case 'elsewhere':
        return { state: 'in flight', settled: this.#waitFor(key) };
    }
  }

  isMine(key: string, { token }: Flight): boolean {
    return this.#flights.isMine(key, token);
  }

  end(key: string, { token }: Flight, settlement: Settlement): void {
    this.#flights.end(key, token, settlement, Date.now());
  }

  /** Takes note of what others have written. */
  notice(): void {
    try {
      const version = this.#version.get()?.data_version;
      if (version === this.#seen) return;
      this.#ledger.follow();
      this.#look();
      this.#seen = version;
    } catch {
      // The writer says what is wrong with the file; the next poll tries again.
    }
  }

  /** The last thing that is written: nothing of this process is in flight any more. */
  leave(): void {
    clearInterval(this.#polling);
    const { id, lock } = this.#presence;
    this.#writer.write({ survives: 'process', apply: () => this.#remove(id, lock) }).catch(() => undefined);
  }

  /** In flight elsewhere comes first: such a claim may be kept already, but not confirmed by the disk. */
  #tryTake(key: string, flight: Flight): 'mine' | 'kept' | 'elsewhere' {
    const nowMs = Date.now();
    if (this.#flights.stateOf(key, nowMs) === 'in flight') {
      this.#flights.awaitOutcome(key);
      return 'elsewhere';
    }
    if (this.#ledger.isKept(key, nowMs)) return 'kept';
    this.#flights.put(key, flight.token, flight.untilMs);
    flight.isShared = true;
    return 'mine';
  }

  #waitFor(key: string): Promise<Settlement | undefined> {
    const waiting = this.#waits.get(key) ?? Promise.withResolvers<Settlement | undefined>();
    this.#waits.set(key, waiting);
    // It may have ended, or its process, since that was written.
    this.#lookAt(key, Date.now());
    const nowMs = performance.now();
    if (nowMs - this.#askedMs > ASK_AGAIN_MS) this.#buryGone();
    return waiting.promise;
  }

  #look(): void {
    const neighbours = this.#presence.neighbours();
    if (neighbours === undefined) {
      this.#writer.giveUp(GONE);
      return;
    }
    if ((neighbours.length === 0) !== this.#isAlone) this.#switch();
    const nowMs = Date.now();
    for (const key of this.#waits.keys()) this.#lookAt(key, nowMs);
  }

  #lookAt(key: string, nowMs: number): void {
    const state = this.#flights.stateOf(key, nowMs);
    if (state === 'in flight') return;
    this.#waits.get(key)?.resolve(state === 'void' ? undefined : state);
    this.#waits.delete(key);
  }

  #switch(): void {
    if (this.#isSwitching) return;
    this.#isSwitching = true;
    const done = () => {
      this.#isSwitching = false;
      // Others may have come or gone meanwhile.
      this.#seen = undefined;
    };
    (this.#isAlone ? this.#share() : this.#withdraw()).then(done, done);
  }

  /** Claiming in the file is right in any case, so that is done from before the commit on. */
  #share(): Promise<void> {
    return this.#writer.write({
      survives: 'process',
      isLasting: true,
      apply: () => {
        this.#isAlone = false;
        for (const [key, flight] of this.#here) {
          if (flight.phase !== 'open') continue;
          this.#flights.put(key, flight.token, flight.untilMs);
          flight.isShared = true;
        }
        this.#presence.setAlone(false);
      },
    });
  }

  /** Whoever comes after the commit waits until this process shares again. */
  async #withdraw(): Promise<void> {
    let isAlone = false;
    await this.#writer.write({
      survives: 'process',
      apply: () => {
        isAlone = this.#presence.neighbours()?.length === 0;
        if (!isAlone) return;
        this.#presence.setAlone(true);
        this.#flights.removeMine();
      },
    });
    if (!isAlone) return;
    this.#isAlone = true;
    for (const flight of this.#here.values()) flight.isShared = false;
  }

  #housekeep(): void {
    this.#buryGone();
    const nowMs = Date.now();
    for (const key of this.#waits.keys()) this.#lookAt(key, nowMs);
    this.#flights.sweep(nowMs);
  }

  #buryGone(): void {
    this.#askedMs = performance.now();
    for (const { id, pid } of this.#presence.neighbours() ?? []) {
      if (this.#burying.has(id)) continue;
      const lock = this.#presence.lockOfGone(id);
      if (lock !== undefined) void this.#bury(id, pid, lock);
    }
  }

  async #bury(id: number, pid: number, lock: ProcessLock): Promise<void> {
    this.#burying.add(id);
    try {
      await this.#writer.write({ survives: 'process', apply: () => this.#remove(id, lock) });
    } catch {
      return;
    } finally {
      lock.letGo();
      this.#burying.delete(id);
    }
    this.#warn(goneSentence(pid));
    this.#leases.freed();
    this.#look();
  }

  #remove(id: number, lock: ProcessLock): void {
    // Before its entry is: without a file it counts as gone, and without an entry nobody would look for its file.
    lock.removeFile();
    this.#presence.remove(id);
    this.#flights.removeOwnerless();
    this.#leases.removeOwnerless();
  }
}

export function goneSentence(pid: number): string {
  return `a process that shared the state (pid ${pid}) is gone without a word; what it had in flight is free`;
}
