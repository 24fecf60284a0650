/** Finds the end of one body in the bytes that arrive. */
export interface Framing {
  /** How many more bytes are certain to come; `undefined`: that is not known. */
  readonly remaining: number | undefined;
  readonly done: boolean;
  /**
   * Takes bytes of the body from the front of `bytes`, handing its content to `take`, which may refuse by false.
   * Returns how many bytes were used: fewer than given once the body is done or `take` refused; -1: malformed.
   */
  push(bytes: Buffer, take: (content: Buffer) => boolean): number;
}

/** A body of known length (RFC 9112 section 6.2). */
export class LengthFraming implements Framing {
  remaining: number;

  constructor(length: number) {
    this.remaining = length;
  }

  get done(): boolean {
    return this.remaining === 0;
  }

  push(bytes: Buffer, take: (content: Buffer) => boolean): number {
    const content = bytes.length <= this.remaining ? bytes : bytes.subarray(0, this.remaining);
    this.remaining -= content.length;
    take(content);
    return content.length;
  }
}

type Step = 'size' | 'size end' | 'data' | 'data end' | 'data end 2' | 'last' | 'last end' | 'done';

const CR = 0x0d;
const LF = 0x0a;
/** RFC 9112 section 7.1 warns of sizes that overflow. */
const MOST_DIGITS = 8;

/**
 * A chunked body (RFC 9112 section 7.1), of the plainest kind only: chunk extensions (7.1.1, against its "must ignore")
 * and trailers (7.1.2) are refused, since nothing a webhook carries needs them and smuggling hides in them; a line ends
 * with CRLF and nothing less (2.2).
 */
export class ChunkedFraming implements Framing {
  readonly remaining = undefined;
  #step: Step = 'size';
  #digits = 0;
  #size = 0;

  get done(): boolean {
    return this.#step === 'done';
  }

  push(bytes: Buffer, take: (content: Buffer) => boolean): number {
    let at = 0;
    while (at < bytes.length && this.#step !== 'done') {
      if (this.#step === 'data') {
        const end = Math.min(bytes.length, at + this.#size);
        this.#size -= end - at;
        if (this.#size === 0) this.#step = 'data end';
        if (!take(bytes.subarray(at, end))) return end;
        at = end;
      } else {
        if (!this.#control(bytes[at] as number)) return -1;
        at += 1;
      }
    }
    return at;
  }

  /** One byte outside of chunk data; false: it must not stand there. */
  #control(byte: number): boolean {
    switch (this.#step) {
      case 'size':
        return byte === CR ? this.#digits > 0 && this.#go('size end') : this.#digit(byte);
      case 'size end':
        this.#digits = 0;
        return byte === LF && this.#go(this.#size === 0 ? 'last' : 'data');
      case 'data end':
        return byte === CR && this.#go('data end 2');
      case 'data end 2':
        return byte === LF && this.#go('size');
      case 'last':
        return byte === CR && this.#go('last end');
      default:
        return byte === LF && this.#go('done');
    }
  }

  #go(step: Step): true {
    this.#step = step;
    return true;
  }

  #digit(byte: number): boolean {
    const digit = hexDigit(byte);
    this.#digits += 1;
    if (digit < 0 || this.#digits > MOST_DIGITS) return false;
    this.#size = this.#size * 16 + digit;
    return true;
  }
}

/** The value of a hexadecimal digit in ASCII (RFC 5234 appendix B.1); -1: it is none. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
