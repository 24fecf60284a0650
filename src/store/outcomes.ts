import type { Settlement } from '../types.ts';
import type { Flights } from './flights.ts';

type Outcome = Settlement | undefined;

/** The copies of this process that wait for what becomes of events in flight elsewhere. */
export class Outcomes {
  readonly #flights: Flights;
  readonly #waiting = new Map<string, PromiseWithResolvers<Outcome>>();

  constructor(flights: Flights) {
    this.#flights = flights;
  }

  /** `undefined`: no copy waits for this one yet. */
  of(key: string): Promise<Outcome> | undefined {
    return this.#waiting.get(key)?.promise;
  }

  /** Resolves to `undefined` where the claim is void: then nobody delivers the event. */
  wait(key: string): Promise<Outcome> {
    const waiting = this.#waiting.get(key) ?? Promise.withResolvers<Outcome>();
    this.#waiting.set(key, waiting);
    // It may have ended since that was written.
    this.#look(key);
    return waiting.promise;
  }

  look(): void {
    for (const key of this.#waiting.keys()) this.#look(key);
  }

  #look(key: string): void {
    const state = this.#flights.stateOf(key);
    if (state === 'in flight') return;
    this.#waiting.get(key)?.resolve(state === 'void' ? undefined : state);
    this.#waiting.delete(key);
  }
}
