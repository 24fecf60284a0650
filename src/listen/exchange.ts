import { BodyBuffer } from '../body.ts';
import type { Refusal, Reply, Sender } from '../types.ts';
import { ChunkedFraming, type Framing, LengthFraming } from './framing.ts';
import type { ParsedHead } from './head.ts';
import type { Line } from './line.ts';

/** The most of an unwanted body that is read for the sake of keeping its connection. */
const MOST_DROPPED_BYTES = 64 * 1024;

const EMPTY = Buffer.alloc(0);
const TOO_LARGE: Refusal = Object.freeze({ reason: 'body.too_large' });
const OVERLOADED: Refusal = Object.freeze({
  reason: 'gateway.overloaded',
  detail: 'limits.buffered_bodies',
});
const TIMEOUT: Refusal = Object.freeze({ reason: 'body.timeout' });
const INCOMPLETE: Refusal = Object.freeze({ reason: 'body.incomplete' });
const MALFORMED: Refusal = Object.freeze({ reason: 'request.malformed', detail: 'chunked body' });

interface Reading {
  buffer: BodyBuffer;
  limitBytes: number;
  resolve: (body: Buffer | Refusal) => void;
}

/** One request and its answer on a connection: reads the body, or what must be read of one that nobody wants. */
export class Exchange implements Sender {
  onGone: (() => void) | undefined = undefined;
  isGone = false;
  readonly head: ParsedHead;
  readonly #line: Line;
  readonly #framing: Framing;
  #reading: Reading | undefined;
  #release: (() => void) | undefined;
  #begun = false;
  #broken = false;
  #droppedBytes = 0;

  constructor(head: ParsedHead, line: Line) {
    this.head = head;
    this.#line = line;
    const { contentLength } = head.request;
    this.#framing = contentLength === undefined ? new ChunkedFraming() : new LengthFraming(contentLength);
  }

  get isReading(): boolean {
    return this.#reading !== undefined;
  }

  /** The body has been read to its end: what follows is the next request. */
  get bodyDone(): boolean {
    return this.#framing.done;
  }

  /**
   * Whether all of the body may have arrived, though nobody has asked for it yet: the request waits for its turn. Of a
   * chunked one that is not known before it is read.
   */
  get mayBeWhole(): boolean {
    const { contentLength } = this.head.request;
    return !this.isReading && (contentLength ?? 0) <= this.#line.inbox.size;
  }

  /**
   * Whether the rest of the body may be read and dropped, so that the connection can be kept. Not after a framing
   * error, and not where the client waits for leave to send: it might send, or not.
   */
  get mayDrop(): boolean {
    const waits = this.head.expectsContinue && !this.#begun;
    return !this.#broken && !waits && (this.#framing.remaining ?? 0) <= MOST_DROPPED_BYTES;
  }

  readBody(limitBytes: number, byMs: number): Buffer | Refusal | Promise<Buffer | Refusal> {
    const length = this.head.request.contentLength;
    if (length === 0) return EMPTY;
    if (length !== undefined && length > limitBytes) return TOO_LARGE;
    const whole = length === undefined ? undefined : this.#line.inbox.takeWhole(length);
    if (whole !== undefined) return this.#accept(whole);
    let early: Buffer | Refusal | undefined;
    const buffer = new BodyBuffer(this.#line.options.shared.budget, length ?? limitBytes);
    this.#release = () => buffer.release();
    this.#reading = {
      buffer,
      limitBytes,
      resolve: (body) => {
        early = body;
      },
    };
    this.read();
    // Of a body behind requests sent ahead: what has arrived is all there is, and waiting would only hold its memory.
    if (this.isReading && this.#line.hasEnded) this.gone();
    if (early !== undefined) return early;
    const { promise, resolve } = Promise.withResolvers<Buffer | Refusal>();
    this.#reading.resolve = resolve;
    if (this.head.expectsContinue && !this.#begun) this.#line.sendContinue();
    this.#begun = true;
    // From here, not from the head's end: where the gateway has made its sender wait, that is not the sender's fault.
    const { bodyTimeout } = this.#line.options.shared.limits;
    this.#line.alarm.set(Math.min(performance.now() + bodyTimeout, byMs), () => this.#stop(TIMEOUT));
    this.#line.wanted();
    return promise;
  }

  /** A body that came with its head. */
  #accept(whole: Buffer): Buffer | Refusal {
    this.#framing.push(whole, () => true);
    const { budget } = this.#line.options.shared;
    if (!budget.reserve(whole.length)) return OVERLOADED;
    this.#release = () => budget.release(whole.length);
    return whole;
  }

  releaseBody(): void {
    this.#release?.();
    this.#release = undefined;
  }

  /** Takes what has arrived for the body that is being read. */
  read(): void {
    this.#line.inbox.take((bytes) => this.#push(bytes));
  }

  /** Returns how many bytes were used. */
  #push(bytes: Buffer): number {
    const reading = this.#reading;
    if (reading === undefined) return 0;
    this.#begun ||= bytes.length > 0;
    let refusal: Refusal | undefined;
    const used = this.#framing.push(bytes, (content) => {
      if (reading.buffer.length + content.length > reading.limitBytes) refusal = TOO_LARGE;
      else if (!reading.buffer.append(content)) refusal = OVERLOADED;
      return refusal === undefined;
    });
    if (used < 0) this.#broken = true;
    if (used < 0) this.#stop(MALFORMED);
    else if (refusal !== undefined) this.#stop(refusal);
    else if (this.#framing.done) this.#settle(reading.buffer.take());
    return used < 0 ? bytes.length : used;
  }

  /** Drops what has arrived of a body that nobody wants; false: too much, or malformed. */
  drop(): boolean {
    let isSound = true;
    this.#line.inbox.take((bytes) => {
      const used = this.#framing.push(bytes, () => true);
      this.#droppedBytes += used;
      isSound = used >= 0 && this.#droppedBytes <= MOST_DROPPED_BYTES;
      return Math.max(used, 0);
    });
    return isSound;
  }

  /** The sender is gone: nothing more will come, and nobody reads the answer. */
  gone(): void {
    this.isGone = true;
    this.#stop(INCOMPLETE);
    this.onGone?.();
    this.onGone = undefined;
  }

  /** A stream that nobody will read is cancelled. */
  discard(reply: Reply | undefined): void {
    if (reply?.body !== undefined && !Buffer.isBuffer(reply.body)) reply.body.cancel();
  }

  #stop(refusal: Refusal): void {
    if (this.#reading === undefined) return;
    this.releaseBody();
    this.#settle(refusal);
  }

  #settle(body: Buffer | Refusal): void {
    this.#line.alarm.clear();
    this.#reading?.resolve(body);
    this.#reading = undefined;
  }
}
