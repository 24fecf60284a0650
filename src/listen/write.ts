import type { TLSSocket } from 'node:tls';
import type { BodyStream, Reply } from '../types.ts';
import { encodeChunk, encodeHead, encodeWhole, framingOf, LAST_CHUNK } from './encode.ts';

export interface WriteOptions {
  readonly method: string;
  /** The connection ends after this answer. */
  readonly close: boolean;
  /** Whether the sender takes what is written, or is slower than the upstream. */
  readonly flowing: (isFlowing: boolean) => void;
  /** The whole answer is written. */
  readonly done: () => void;
  /** The upstream died: the sender must see that the answer is not whole. */
  readonly failed: () => void;
}

/** Writes an answer: a small one in one piece, a stream as it comes. */
export function writeAnswer(socket: TLSSocket, reply: Reply, options: WriteOptions): void {
  const { body } = reply;
  if (body !== undefined && !Buffer.isBuffer(body)) {
    writeStream(socket, reply, body, options);
    return;
  }
  socket.write(encodeWhole({ ...reply, body }, framingOf(reply, options.method), options.close));
  options.done();
}

function writeStream(socket: TLSSocket, reply: Reply, body: BodyStream, options: WriteOptions): void {
  const framing = framingOf(reply, options.method);
  socket.write(encodeHead(reply, framing, options.close), 'latin1');
  body.start({
    write: (chunk) => {
      // An empty chunk would be the last one.
      if (chunk.length === 0) return true;
      const isFlowing = socket.write(framing === 'chunked' ? encodeChunk(chunk) : chunk);
      options.flowing(isFlowing);
      return isFlowing;
    },
    end: () => {
      if (framing === 'chunked') socket.write(LAST_CHUNK);
      options.done();
    },
    fail: options.failed,
  });
}
