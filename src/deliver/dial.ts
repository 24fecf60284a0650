import { lookup as resolve } from 'node:dns';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { createSecureContext, connect as secure } from 'node:tls';
import type { Target, UpstreamSettings } from '../settings.ts';

/** Told once: the connection, ready for the first byte, or why there is none. */
export type Dialled = (error: Error | null, socket: Socket | null) => void;

/** Opens one connection. The socket is there at once, so that it can be destroyed while it is still being opened. */
export type Dial = (done: Dialled) => Socket;

/** As often as the kernel asks whether an idle peer still lives. */
const KEEP_ALIVE_MS = 60_000;

/** Prepares the way to a target: its certificates are parsed once, its sessions resumed. */
export function dialler(target: Target, settings: Pick<UpstreamSettings, 'connectTimeoutMs' | 'tls'>): Dial {
  const open = openerOf(target, settings.tls);
  const { connectTimeoutMs } = settings;
  return (done) => {
    const { socket, ready } = open();
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    // The client library's own clock ticks twice a second.
    const timer = setTimeout(() => socket.destroy(timedOut(connectTimeoutMs)), connectTimeoutMs);
    let failure: Error | undefined;
    const closed = () => settle(failure ?? new Error('closed while it was being opened'));
    const settle = (error: Error | null) => {
      clearTimeout(timer);
      socket.off('close', closed);
      if (error === null) done(null, socket);
      else done(error, null);
    };
    socket.on('error', (error) => {
      failure = error;
    });
    socket.once('close', closed);
    socket.once(ready, () => settle(null));
    return socket;
  };
}

interface Opened {
  readonly socket: Socket;
  /** The event after which bytes may be sent. */
  readonly ready: 'connect' | 'secureConnect';
}

function openerOf({ origin, socketPath }: Target, tls: UpstreamSettings['tls']): () => Opened {
  if (socketPath !== undefined) return () => ({ socket: connect({ path: socketPath }), ready: 'connect' });
  const { protocol, hostname, port: given } = new URL(origin);
  const host = hostname.replace(/^\[|\]$/g, '');
  const lookup = sharedLookup();
  if (protocol === 'http:') {
    const port = Number(given || 80);
    return () => ({ socket: connect({ host, port, lookup }), ready: 'connect' });
  }
  const secureContext = createSecureContext({
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.certificate === undefined ? {} : { cert: tls.certificate }),
    ...(tls?.privateKey === undefined ? {} : { key: tls.privateKey }),
  });
  const port = Number(given || 443);
  // RFC 6066 section 3: an address is no server name.
  const name = isIP(host) === 0 ? { servername: host } : {};
  let session: Buffer | undefined;
  return () => {
    const resumed = session === undefined ? {} : { session };
    const socket = secure({
      host,
      port,
      lookup,
      secureContext,
      ALPNProtocols: ['http/1.1'],
      // Said aloud, since an environment variable can turn Node's default off.
      rejectUnauthorized: true,
      ...name,
      ...resumed,
    });
    socket.on('session', (newer) => {
      session = newer;
    });
    return { socket, ready: 'secureConnect' };
  };
}

/**
 * One question to the resolver at a time, its answer for all that asked meanwhile. It has two threads for the whole
 * process: without this, a name that hangs would soon fill its queue, and no other upstream's name would be found.
 */
function sharedLookup(): LookupFunction {
  let asking: Parameters<LookupFunction>[2][] | undefined;
  return (hostname, options, tell) => {
    if (asking !== undefined) {
      asking.push(tell);
      return;
    }
    asking = [tell];
    resolve(hostname, options, (...answer) => {
      const all = asking ?? [];
      asking = undefined;
      for (const one of all) one(...answer);
    });
  };
}

function timedOut(ms: number): Error {
  return Object.assign(new Error(`no connection within ${ms} ms`), { code: 'ETIMEDOUT' });
}
