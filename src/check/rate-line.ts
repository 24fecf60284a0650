import type { Refusal, Turn } from '../types.ts';

interface Place {
  readonly key: string;
  /** Monotonic. */
  readonly dueMs: number;
  readonly resolve: (missed: Refusal | undefined) => void;
}

/**
 * Those who wait for their turn under one limit, in the order of their turns. One timer for all of them: timers of their
 * own, a millisecond coarse, would let two that are due within one change places.
 */
export class RateLine {
  #places: Place[] = [];
  #held = 0;
  #timer: NodeJS.Timeout | undefined;
  #ended: Refusal | undefined;

  /** How many wait, and for how many more a place is held. */
  get size(): number {
    return this.#places.length + this.#held;
  }

  /** Holds a place for one of which it is not known yet whether it has to wait. */
  hold(): void {
    this.#held += 1;
  }

  free(): void {
    this.#held -= 1;
  }

  /** @param dueMs monotonic; not before those of the same key that came earlier, whatever a clock elsewhere says */
  join(key: string, dueMs: number): Turn {
    const { promise: come, resolve } = Promise.withResolvers<Refusal | undefined>();
    if (this.#ended !== undefined) resolve(this.#ended);
    if (this.#ended !== undefined) return { come, giveUp: () => undefined };
    let at = this.#places.length;
    let turnMs = dueMs;
    for (; at > 0; at -= 1) {
      const before = this.#places[at - 1] as Place;
      if (before.key === key) turnMs = Math.max(turnMs, before.dueMs);
      if (before.dueMs <= turnMs) break;
    }
    const place: Place = { key, dueMs: turnMs, resolve };
    this.#places.splice(at, 0, place);
    if (at === 0) this.#arm();
    return { come, giveUp: (why) => this.#leave(place, why) };
  }

  /** Nobody is given a turn any more: the process is about to end. */
  giveUpAll(why: Refusal): void {
    this.#ended = why;
    const places = this.#places;
    this.#places = [];
    this.#arm();
    for (const { resolve } of places) resolve(why);
  }

  #leave(place: Place, why: Refusal): void {
    const at = this.#places.indexOf(place);
    if (at < 0) return;
    this.#places.splice(at, 1);
    if (at === 0) this.#arm();
    place.resolve(why);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const [first] = this.#places;
    if (first === undefined) return;
    this.#timer = setTimeout(() => this.#call(), Math.ceil(Math.max(first.dueMs - performance.now(), 0)));
  }

  /** A timer may be early by what its turn of the loop has taken: nobody goes before the time. */
  #call(): void {
    const nowMs = performance.now();
    let due = 0;
    while (due < this.#places.length && (this.#places[due] as Place).dueMs <= nowMs) due += 1;
    const called = this.#places.splice(0, due);
    this.#arm();
    for (const { resolve } of called) resolve(undefined);
  }
}
