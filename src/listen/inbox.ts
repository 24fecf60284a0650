import type { Refusal } from '../types.ts';
import { isHopeless, MOST_HEAD_BYTES, type ParsedHead, parseHead } from './head.ts';

const EMPTY = Buffer.alloc(0);
const END_OF_HEAD = '\r\n\r\n';

/** The bytes that have arrived on a connection and that nobody has used yet. */
export class Inbox {
  #bytes: Buffer = EMPTY;
  /** What came after `#bytes`; joined only when it is looked at. */
  #later: Buffer[] = [];
  #laterBytes = 0;
  /** How much of an unfinished head has been looked at. */
  #seen = 0;

  get size(): number {
    return this.#bytes.length + this.#laterBytes;
  }

  add(chunk: Buffer): void {
    this.#later.push(chunk);
    this.#laterBytes += chunk.length;
  }

  /** Lets `use` see all bytes and drops as many as it says it has used. */
  take(use: (bytes: Buffer) => number): void {
    this.#join();
    this.#drop(use(this.#bytes));
  }

  /** The next `count` bytes, if they have all arrived: no copy, they are the ones that were read. */
  takeWhole(count: number): Buffer | undefined {
    if (this.size < count) return undefined;
    this.#join();
    const whole = this.#bytes.length === count ? this.#bytes : this.#bytes.subarray(0, count);
    this.#drop(count);
    return whole;
  }

  clear(): void {
    this.#bytes = EMPTY;
    this.#later = [];
    this.#laterBytes = 0;
  }

  /** The next head, once it is whole, or why there will be none; `undefined`: more bytes are needed. */
  takeHead(): ParsedHead | Refusal | undefined {
    this.#join();
    const end = this.#bytes.indexOf(END_OF_HEAD, Math.max(0, this.#seen - END_OF_HEAD.length));
    const size = end < 0 ? this.#bytes.length : end + END_OF_HEAD.length;
    if (size > MOST_HEAD_BYTES) return { reason: 'request.malformed', detail: 'head too large' };
    const text = this.#bytes.toString('latin1', 0, end < 0 ? size : end + 2);
    if (end < 0) {
      if (isHopeless(text, this.#seen)) return { reason: 'request.malformed', detail: 'line' };
      this.#seen = size;
      return undefined;
    }
    this.#seen = 0;
    this.#drop(size);
    return parseHead(text);
  }

  #join(): void {
    const [first] = this.#later;
    if (first === undefined) return;
    const alone = this.#bytes.length === 0 && this.#later.length === 1;
    this.#bytes = alone ? first : Buffer.concat([this.#bytes, ...this.#later]);
    this.#later = [];
    this.#laterBytes = 0;
  }

  /** An empty rest of a chunk would keep the whole chunk in memory for as long as the connection idles. */
  #drop(count: number): void {
    this.#bytes = count === this.#bytes.length ? EMPTY : this.#bytes.subarray(count);
  }
}
