import { once } from 'node:events';
import net from 'node:net';
import { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import tls from 'node:tls';
import { afterAll } from 'vitest';
import type { Gateway } from './gateway.ts';
import { type Connection, type ConnectOptions, connect } from './sender.ts';

const PATIENCE_MS = 12_000;
const PAUSE_MS = 20;

/** Many TCP connections to a gateway, on none of which there is TLS. */
export interface RawCrowd {
  readonly sockets: readonly net.Socket[];
  /** How many got at least one byte. */
  answered(): number;
  /** How many the gateway has closed. */
  closed(): number;
  /** Resolves once the gateway has closed all of them. */
  readonly allClosed: Promise<void>;
  /** Closes what is left. */
  end(): void;
}

const crowds = new Set<RawCrowd>();
afterAll(() => {
  for (const crowd of crowds) crowd.end();
});

/** Opens so many connections; resolves once the system has made them, whether or not the gateway lets them in. */
export async function rawCrowd(
  gateway: Gateway,
  count: number,
  { first, from }: { first?: Buffer; from?: string } = {},
): Promise<RawCrowd> {
  let [answered, closed] = [0, 0];
  const sockets = Array.from({ length: count }, () => {
    const socket = net.connect({
      host: '127.0.0.1',
      port: gateway.port,
      ...(from === undefined ? {} : { localAddress: from }),
    });
    socket.on('error', () => undefined);
    socket.once('data', () => {
      answered += 1;
      socket.resume();
    });
    if (first !== undefined) socket.write(first);
    return socket;
  });
  const ends = sockets.map(
    (socket) =>
      new Promise<void>((resolve) => {
        socket.once('close', () => {
          closed += 1;
          resolve();
        });
      }),
  );
  const crowd: RawCrowd = {
    sockets,
    answered: () => answered,
    closed: () => closed,
    allClosed: Promise.all(ends).then(() => undefined),
    end: () => {
      crowds.delete(crowd);
      for (const socket of sockets) socket.destroy();
    },
  };
  crowds.add(crowd);
  await Promise.all(
    sockets.map((socket) =>
      Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => undefined),
    ),
  );
  return crowd;
}

/** What a client of TLS says first. */
export async function clientHello(): Promise<Buffer> {
  const first = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      first.resolve(chunk);
      done();
    },
  });
  const client = tls.connect({ socket: wire, servername: 'localhost' });
  client.on('error', () => undefined);
  const hello = await first.promise;
  client.destroy();
  return hello;
}

/** Sends bytes one at a time, for as long as the other side listens. */
export async function drip(socket: net.Socket, bytes: Buffer, everyMs: number): Promise<void> {
  for (let place = 0; place < bytes.length && !socket.destroyed; place += 1) {
    socket.write(bytes.subarray(place, place + 1));
    await pause(everyMs);
  }
}

/** Connects as a sender does that is turned away for want of room: again, until it gets in. */
export async function connectAtLast(gateway: Gateway, options: ConnectOptions = {}): Promise<Connection> {
  const byMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const connection = await connect(gateway, options).catch((error: NodeJS.ErrnoException) => {
      if (performance.now() > byMs) throw error;
      return undefined;
    });
    if (connection !== undefined) return connection;
    await pause(PAUSE_MS);
  }
}
