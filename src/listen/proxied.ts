import type { Socket } from 'node:net';
import { type ProxyHeader, readProxyHeader } from './proxy-header.ts';

/** What came of a wait for a PROXY header. */
export type Proxied = Exclude<ProxyHeader, { state: 'partial' }>;

/**
 * Reads the PROXY header that a connection must begin with, and leaves what follows it to be read. Calls `done` once,
 * or never where the connection ends before.
 */
export function awaitProxyHeader(socket: Socket, done: (found: Proxied) => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  const receive = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const header = readProxyHeader(bytes);
    if (header.state === 'partial') return;
    socket.off('data', receive);
    socket.pause();
    if (header.state === 'whole' && bytes.length > header.size) socket.unshift(bytes.subarray(header.size));
    done(header);
  };
  socket.on('data', receive);
}
