import type { Socket } from 'node:net';

const HEADER_BYTES = 5;
/** RFC 8446 section 5.1 and RFC 5246 section 6.2.1. */
const HANDSHAKE = 22;
/** More than any client says first; what is longer is left to TLS, so that nobody is held for nothing. */
const MOST_HELD_BYTES = 4 * 1024;

/**
 * Calls `done` once a connection has said what its handshake begins with, and leaves it to be read; never where the
 * connection ends before. Until then there is nothing to compute, and a connection costs its socket only. What is no
 * handshake is told at once: TLS has the words to refuse it.
 */
export function awaitHello(socket: Socket, done: () => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  const receive = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    if (!isEnough(bytes)) return;
    socket.off('data', receive);
    socket.pause();
    socket.unshift(bytes);
    done();
  };
  socket.on('data', receive);
  socket.resume();
}

function isEnough(bytes: Buffer): boolean {
  if (bytes[0] !== HANDSHAKE || bytes.length >= MOST_HELD_BYTES) return true;
  return bytes.length >= HEADER_BYTES && bytes.length >= HEADER_BYTES + bytes.readUInt16BE(3);
}
