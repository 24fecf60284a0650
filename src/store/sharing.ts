import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { ClaimAnswer } from '../store-types.ts';
import type { Settlement } from '../types.ts';
import type { ClaimLedger } from './claim-ledger.ts';
import type { Flight, FlightsHere, OthersClaims } from './claims.ts';
import { type Flights, openFlights } from './flights.ts';
import { Gone } from './gone.ts';
import { Outcomes } from './outcomes.ts';
import type { Presence } from './presence.ts';
import type { StateWriter } from './writer.ts';

/** How soon a copy hears of an outcome elsewhere, and a process that starts of those that run. */
const POLL_MS = 50;
/** Whoever finds an event in flight elsewhere asks whether that process lives, but not more often than this. */
const ASK_AGAIN_MS = 100;
const TAKEN_FOR_GONE =
  'state file: another process took this one for gone, and delivers what it had in flight; restart';

export interface SharingOptions {
  readonly database: DatabaseSync;
  readonly writer: StateWriter;
  readonly presence: Presence;
  /** No other process uses the file at the moment. */
  readonly isAlone: boolean;
  readonly ledger: ClaimLedger;
  readonly here: FlightsHere;
  /** Belongs into a transaction: what processes had in flight or leased that are not there any more is free. */
  readonly removeOwnerless: () => void;
  /** Some of that has become free. */
  readonly freed: () => void;
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
  readonly #outcomes: Outcomes;
  readonly #gone: Gone;
  readonly #version: StatementSync;
  readonly #polling: NodeJS.Timeout;
  #isAlone: boolean;
  #isSwitching = false;
  #followed: unknown;
  #seen: unknown;

  constructor(options: SharingOptions) {
    const { database, writer, presence, isAlone, ledger, here } = options;
    this.#writer = writer;
    this.#presence = presence;
    this.#isAlone = isAlone;
    this.#ledger = ledger;
    this.#here = here;
    this.#flights = openFlights(database, presence.id);
    this.#outcomes = new Outcomes(this.#flights);
    const removed = () => {
      options.freed();
      this.#look();
    };
    this.#gone = new Gone({ ...options, removed });
    this.#version = database.prepare('PRAGMA data_version');
    writer.accompany({
      begun: () => {
        if (!this.#isAlone) ledger.follow();
        ledger.begun();
      },
      committed: () => ledger.committed(),
    });
    writer.housekeep(() => {
      this.#gone.look();
      this.#outcomes.look();
      this.#flights.sweep();
    });
    this.#polling = setInterval(() => this.#notice(), POLL_MS).unref();
  }

  get isAlone(): boolean {
    return this.#isAlone;
  }

  /** Whether a claim that the ledger has is one to go by: it was not taken back, and the disk has confirmed it. */
  confirms(key: string, nowMs: number): boolean {
    const version = this.#dataVersion();
    if (version !== this.#followed) this.#ledger.follow();
    this.#followed = version;
    if (!this.#ledger.isKept(key, nowMs)) return false;
    return this.#isAlone || this.#flights.stateOf(key) !== 'in flight';
  }

  async take(key: string, flight: Flight): Promise<ClaimAnswer | undefined> {
    const waiting = this.#outcomes.of(key);
    if (waiting !== undefined) return { state: 'in flight', settled: waiting };
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
      case 'elsewhere': {
        const settled = this.#outcomes.wait(key);
        this.#gone.look(ASK_AGAIN_MS);
        return { state: 'in flight', settled };
      }
    }
  }

  isMine(key: string, { token }: Flight): boolean {
    return this.#flights.isMine(key, token);
  }

  end(key: string, { token }: Flight, settlement: Settlement): void {
    this.#flights.end(key, token, settlement);
  }

  /** The last thing that is written: nothing of this process is in flight any more. */
  leave(): void {
    clearInterval(this.#polling);
    const { id, lock } = this.#presence;
    const apply = () => this.#gone.remove(id, lock);
    this.#writer.write({ survives: 'process', apply }).catch(() => undefined);
  }

  /** In flight elsewhere comes first: such a claim may be kept already, but not confirmed by the disk. */
  #tryTake(key: string, flight: Flight): 'mine' | 'kept' | 'elsewhere' {
    if (this.#flights.stateOf(key) === 'in flight') {
      this.#flights.awaitOutcome(key);
      return 'elsewhere';
    }
    if (this.#ledger.isKept(key, Date.now())) return 'kept';
    this.#flights.put(key, flight.token, flight.untilMs);
    flight.isShared = true;
    return 'mine';
  }

  /** Takes note of what others have written. */
  #notice(): void {
    try {
      const version = this.#dataVersion();
      if (version === this.#seen) return;
      this.#ledger.follow();
      this.#look();
      this.#seen = version;
    } catch {
      // The writer says what is wrong with the file; the next poll tries again.
    }
  }

  /** Changes whenever another process has written. */
  #dataVersion(): unknown {
    return this.#version.get()?.data_version;
  }

  #look(): void {
    const neighbours = this.#presence.neighbours();
    if (neighbours === undefined) {
      this.#writer.giveUp(TAKEN_FOR_GONE);
      return;
    }
    if ((neighbours.length === 0) !== this.#isAlone) this.#switch();
    this.#outcomes.look();
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
}
