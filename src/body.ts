/**
 * The memory that bodies may take, over all requests. What is reserved must be released by the same number of bytes.
 */
export class BodyBudget {
  /** May be changed at any time; what is held stays held. */
  limitBytes: number;
  #usedBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Returns false, and reserves nothing, where the limit would be passed. */
  reserve(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.limitBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}

const FIRST_BYTES = 4 * 1024;
/** Doubling would copy a large body once more, and leave as much again for the garbage collector. */
const STEP = 4;

/**
 * Collects one body. Memory is taken in steps of what has arrived, so that a promise of 1 MiB that sends nothing
 * costs nothing, and each step is reserved before it is taken.
 */
export class BodyBuffer {
  readonly #budget: BodyBudget;
  readonly #limitBytes: number;
  #bytes: Buffer = EMPTY;
  #length = 0;

  /** @param limitBytes the most that will ever be appended: the Content-Length, or the route's limit */
  constructor(budget: BodyBudget, limitBytes: number) {
    this.#budget = budget;
    this.#limitBytes = limitBytes;
  }

  get length(): number {
    return this.#length;
  }

  /** Returns false where the budget does not allow it; the bytes are dropped then. */
  append(chunk: Buffer): boolean {
    const needed = this.#length + chunk.length;
    if (needed > this.#bytes.length && !this.#grow(needed)) return false;
    chunk.copy(this.#bytes, this.#length);
    this.#length = needed;
    return true;
  }

  /** The whole body. What it holds of the budget is released by `release`. */
  take(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Gives the memory back to the budget; the bytes must not be used after that. */
  release(): void {
    this.#budget.release(this.#bytes.length);
    this.#bytes = EMPTY;
    this.#length = 0;
  }

  #grow(needed: number): boolean {
    const size = Math.min(this.#limitBytes, Math.max(needed, this.#bytes.length * STEP, FIRST_BYTES));
    if (!this.#budget.reserve(size - this.#bytes.length)) return false;
    const bytes = Buffer.allocUnsafe(size);
    this.#bytes.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
    return true;
  }
}

const EMPTY = Buffer.alloc(0);
