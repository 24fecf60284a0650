import type { TLSSocket } from 'node:tls';
import type { BodyStream, Reply } from '../types.ts';
import type { Alarm } from './alarm.ts';
import { encodeChunk, encodeHead, encodeWhole, framingOf, LAST_CHUNK } from './encode.ts';

/** A sender that does not read its answer for this long is cut. */
export const STALL_MS = 30_000;

/** How one answer is written. */
export interface Writing {
  /** Of the request: it decides whether there is a body. */
  readonly method: string;
  /** The connection ends after this answer. */
  readonly close: boolean;
  /** Called once. False: the upstream died, and the sender must see that the answer is not whole. */
  readonly done: (isWhole: boolean) => void;
}

/** Writes the answers of one connection: a small one in one piece, a stream as it comes and as the sender takes it. */
export class AnswerWriter {
  readonly #socket: TLSSocket;
  readonly #alarm: Alarm;
  #stream: BodyStream | undefined;

  constructor(socket: TLSSocket, alarm: Alarm) {
    this.#socket = socket;
    this.#alarm = alarm;
  }

  /** A stream is being written. */
  get isFlowing(): boolean {
    return this.#stream !== undefined;
  }

  write(reply: Reply, writing: Writing): void {
    const { body } = reply;
    if (body === undefined || Buffer.isBuffer(body)) {
      this.#socket.write(encodeWhole({ ...reply, body }, framingOf(reply, writing.method), writing.close));
      writing.done(true);
    } else {
      this.#writeStream(reply, body, writing);
    }
  }

  /** The sender has taken what was written. */
  drained(): void {
    if (this.#stream === undefined) return;
    this.#alarm.clear();
    this.#stream.resume();
  }

  /** The sender is gone. */
  cancel(): void {
    this.#stream?.cancel();
    this.#stream = undefined;
  }

  #writeStream(reply: Reply, body: BodyStream, { method, close, done }: Writing): void {
    const framing = framingOf(reply, method);
    this.#stream = body;
    this.#socket.write(encodeHead(reply, framing, close), 'latin1');
    body.start({
      write: (chunk) => {
        // An empty chunk would be the last one.
        if (chunk.length === 0) return true;
        const isTaken = this.#socket.write(framing === 'chunked' ? encodeChunk(chunk) : chunk);
        if (isTaken) this.#alarm.clear();
        else this.#alarm.set(performance.now() + STALL_MS, () => this.#socket.destroy());
        return isTaken;
      },
      end: () => {
        if (framing === 'chunked') this.#socket.write(LAST_CHUNK);
        this.#stream = undefined;
        done(true);
      },
      fail: () => {
        this.#stream = undefined;
        done(false);
      },
    });
  }
}
