import { hash, randomBytes } from 'node:crypto';

const WAYS = 16;
const SMALLEST = 1024;

/**
 * Theoretical arrival times (GCRA) by key, in memory that is bounded whatever arrives.
 *
 * A key whose time has passed is the same as a key never seen, so its slot is free without any bookkeeping: nothing
 * is ever deleted. Each key may stand in one of 16 neighbouring slots; when all 16 are busy the table doubles, up to
 * its limit, and after that the key is refused. Keys are stored as 64 bits of a digest salted per process, so that
 * nobody can choose keys that collide.
 */
export class RateTable {
  #first: Uint32Array;
  #second: Uint32Array;
  #arrivals: Float64Array;
  readonly #largest: number;
  readonly #salt = randomBytes(16).toString('latin1');

  /** @param largest how many slots at most, a power of two; a single one is for whoever needs no look-up by key */
  constructor(largest: number) {
    const size = Math.min(SMALLEST, largest);
    this.#largest = largest;
    this.#first = new Uint32Array(size);
    this.#second = new Uint32Array(size);
    this.#arrivals = new Float64Array(size);
  }

  /** How many slots there are. */
  get size(): number {
    return this.#arrivals.length;
  }

  /** The slot of a key: its own, or a free one; -1: the table is full of busy keys. */
  slotOf(key: string, nowMs: number): number {
    const digest = hash('sha1', this.#salt + key, 'buffer');
    const first = digest.readUInt32LE(0);
    const second = digest.readUInt32LE(4);
    for (;;) {
      const slot = this.#find(first, second, nowMs);
      if (slot >= 0 || !this.#grow(nowMs)) return slot;
    }
  }

  arrivalAt(slot: number): number {
    return this.#arrivals[slot] as number;
  }

  setArrival(slot: number, arrivalMs: number): void {
    this.#arrivals[slot] = arrivalMs;
  }

  #find(first: number, second: number, nowMs: number): number {
    const start = first & (this.#arrivals.length / WAYS - 1);
    let free = -1;
    for (let slot = start * WAYS; slot < (start + 1) * WAYS; slot += 1) {
      const busy = (this.#arrivals[slot] as number) > nowMs;
      if (busy && this.#first[slot] === first && this.#second[slot] === second) return slot;
      if (!busy && free < 0) free = slot;
    }
    if (free >= 0) {
      this.#first[free] = first;
      this.#second[free] = second;
    }
    return free;
  }

  #grow(nowMs: number): boolean {
    const [firsts, seconds, arrivals] = [this.#first, this.#second, this.#arrivals];
    if (arrivals.length >= this.#largest) return false;
    this.#first = new Uint32Array(arrivals.length * 2);
    this.#second = new Uint32Array(arrivals.length * 2);
    this.#arrivals = new Float64Array(arrivals.length * 2);
    for (let old = 0; old < arrivals.length; old += 1) {
      const arrival = arrivals[old] as number;
      if (arrival <= nowMs) continue;
      // A set of 16 splits into two sets of 16, so every busy key finds room.
      this.#arrivals[this.#find(firsts[old] as number, seconds[old] as number, nowMs)] = arrival;
    }
    return true;
  }
}
