import type { Refusal } from '../types.ts';
import type { Connection } from './connection.ts';
import type { Pool } from './pool.ts';

/** A request that is to be sent on one connection. */
export interface Waiter {
  /** Where it could not be sent: it goes to no target twice. */
  readonly tried: readonly Pool[] | undefined;
  /** Its place while it waits; belongs to the line. */
  place: Place | undefined;
  /** Called as soon as a connection is free; it is this request's until it is given back. */
  send(connection: Connection): void;
  /** Called in place of `send`: it waited in vain. */
  refuse(refusal: Refusal): void;
}

/** One in the line. */
export interface Place {
  readonly waiter: Waiter;
  readonly untilMs: number;
  before: Place | undefined;
  after: Place | undefined;
}

/**
 * Those that wait for a connection, in the order of their coming. A list of our own: what comes and goes with a
 * request is in no Set (see slots.ts), and one that is given up in the middle must go at once, body and all.
 */
export class WaitingLine {
  readonly #most: number;
  readonly #waitMs: number;
  readonly #expired: (waiter: Waiter) => void;
  #first: Place | undefined;
  #last: Place | undefined;
  #length = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param expired is called with one that has waited for `waitMs` and is no longer in the line */
  constructor(most: number, waitMs: number, expired: (waiter: Waiter) => void) {
    this.#most = most;
    this.#waitMs = waitMs;
    this.#expired = expired;
  }

  get length(): number {
    return this.#length;
  }

  /** Returns false where the line is full. */
  join(waiter: Waiter): boolean {
    if (this.#length >= this.#most) return false;
    const untilMs = performance.now() + this.#waitMs;
    const place: Place = { waiter, untilMs, before: this.#last, after: undefined };
    if (this.#last === undefined) this.#first = place;
    else this.#last.after = place;
    this.#last = place;
    waiter.place = place;
    this.#length += 1;
    this.#timer ??= this.#wakeAt(untilMs);
    return true;
  }

  /** Does nothing for one that is not in the line. */
  leave(waiter: Waiter): void {
    const { place } = waiter;
    if (place === undefined) return;
    const { before, after } = place;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    waiter.place = undefined;
    this.#length -= 1;
  }

  /** In order; the one at hand may leave meanwhile. */
  *[Symbol.iterator](): Generator<Waiter> {
    for (let place = this.#first; place !== undefined; ) {
      const { after } = place;
      yield place.waiter;
      place = after;
    }
  }

  /** Ends the line's clock; those in it stay. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  /** All wait equally long, so one clock for the first of them is enough. */
  #wakeAt(untilMs: number): NodeJS.Timeout {
    return setTimeout(() => this.#expire(), Math.max(untilMs - performance.now(), 1)).unref();
  }

  #expire(): void {
    this.#timer = undefined;
    const nowMs = performance.now();
    while (this.#first !== undefined && this.#first.untilMs <= nowMs) {
      const { waiter } = this.#first;
      this.leave(waiter);
      this.#expired(waiter);
    }
    if (this.#first !== undefined) this.#timer ??= this.#wakeAt(this.#first.untilMs);
  }
}
