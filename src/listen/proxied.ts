import type { Socket } from 'node:net';
import { type ProxyHeader, readProxyHeader } from './proxy-header.ts';

/** What came of a wait for a PROXY header. */
export type Proxied =
  | Extract<ProxyHeader, { state: 'whole' }>
  | { readonly state: 'refused'; readonly detail: string };

/**
 * Reads the PROXY header that a connection must begin with, and leaves what follows it to be read. Calls `done` once,
 * or never where the connection ends before.
 * @param timeoutMs how long the header may take, however it trickles in
 */
export function awaitProxyHeader(socket: Socket, timeoutMs: number, done: (found: Proxied) => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  const finish = (found: Proxied): void => {
    clearTimeout(timer);
    socket.off('data', receive);
    socket.off('close', stop);
    socket.pause();
    done(found);
  };
  const stop = (): void => clearTimeout(timer);
  const receive = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const header = readProxyHeader(bytes);
    if (header.state === 'malformed') finish({ state: 'refused', detail: `PROXY header: ${header.detail}` });
    if (header.state !== 'whole') return;
    socket.pause();
    if (bytes.length > header.size) socket.unshift(bytes.subarray(header.size));
    finish(header);
  };
  const timer = setTimeout(() => finish({ state: 'refused', detail: 'PROXY header: too late' }), timeoutMs);
  socket.on('data', receive);
  socket.on('close', stop);
}
