import { randomBytes } from 'node:crypto';

const SMALLEST = 1024;
const WORDS = 4;

/**
 * Until when each key counts, in memory: 24 bytes a slot whatever the key's length, no objects for the garbage
 * collector to walk. A key stands there as 128 bits of a hash whose seed is this process's own.
 */
export class KeyIndex {
  #keys = new Int32Array(SMALLEST * WORDS);
  /** 0: the slot is free. */
  #untilMs = new Float64Array(SMALLEST);
  #used = 0;
  readonly #seed = seed();

  /** How many slots there are. */
  get size(): number {
    return this.#untilMs.length;
  }

  /** Until when this key counts; 0: it is not known. */
  untilOf(key: string): number {
    return this.#untilMs[this.#slotOf(this.#hash(key))] as number;
  }

  set(key: string, untilMs: number, nowMs: number): void {
    if (this.#used * 2 >= this.#untilMs.length) this.#rebuild(nowMs);
    this.#put(this.#hash(key), untilMs);
  }

  #put(words: Words, untilMs: number): void {
    const slot = this.#slotOf(words);
    if (this.#untilMs[slot] === 0) this.#used += 1;
    const start = slot * WORDS;
    this.#keys[start] = words[0];
    this.#keys[start + 1] = words[1];
    this.#keys[start + 2] = words[2];
    this.#keys[start + 3] = words[3];
    this.#untilMs[slot] = untilMs;
  }

  /** The key's slot, or the free one where it belongs. There is always a free one: at most half are used. */
  #slotOf(words: Words): number {
    const mask = this.#untilMs.length - 1;
    let slot = words[0] & mask;
    while (this.#untilMs[slot] !== 0 && !this.#holds(slot, words)) slot = (slot + 1) & mask;
    return slot;
  }

  #holds(slot: number, words: Words): boolean {
    const start = slot * WORDS;
    const keys = this.#keys;
    return (
      keys[start] === words[0] &&
      keys[start + 1] === words[1] &&
      keys[start + 2] === words[2] &&
      keys[start + 3] === words[3]
    );
  }

  /** Four lanes with a seed and an odd factor each: two keys collide only where all four do. */
  #hash(key: string): Words {
    let [a, b, c, d] = this.#seed;
    for (let at = 0; at < key.length; at += 1) {
      const code = key.charCodeAt(at);
      a = Math.imul(((a << 5) | (a >>> 27)) ^ code, 0x9e3779b1);
      b = Math.imul(((b << 7) | (b >>> 25)) ^ code, 0x85ebca6b);
      c = Math.imul(((c << 11) | (c >>> 21)) ^ code, 0xc2b2ae35);
      d = Math.imul(((d << 13) | (d >>> 19)) ^ code, 0x27d4eb2f);
    }
    return [a ^ (a >>> 15), b ^ (b >>> 15), c ^ (c >>> 15), d ^ (d >>> 15)];
  }

  /** Drops what no longer counts; twice the room where that is less than half. */
  #rebuild(nowMs: number): void {
    const [keys, untils] = [this.#keys, this.#untilMs];
    let live = 0;
    for (let slot = 0; slot < untils.length; slot += 1) if ((untils[slot] as number) > nowMs) live += 1;
    const size = live * 4 > untils.length ? untils.length * 2 : untils.length;
    this.#keys = new Int32Array(size * WORDS);
    this.#untilMs = new Float64Array(size);
    this.#used = 0;
    // Plain loops: a million slots are walked while everybody waits.
    for (let slot = 0; slot < untils.length; slot += 1) {
      const untilMs = untils[slot] as number;
      if (untilMs <= nowMs) continue;
      const start = slot * WORDS;
      this.#put([keys[start], keys[start + 1], keys[start + 2], keys[start + 3]] as Words, untilMs);
    }
  }
}

type Words = [number, number, number, number];

function seed(): Words {
  const bytes = randomBytes(WORDS * 4);
  return [bytes.readInt32LE(0), bytes.readInt32LE(4), bytes.readInt32LE(8), bytes.readInt32LE(12)];
}
