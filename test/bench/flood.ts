import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';

const AT_ONCE = 200;

/** TCP connections on which there is no TLS, or only its first message. */
export interface Flood {
  /** How many the gateway has closed. */
  closed(): number;
  end(): void;
}

/** Opens them, some hundreds at a time. @param first what each says, once */
export async function openFlood(port: number, count: number, first?: Buffer): Promise<Flood> {
  const sockets: Socket[] = [];
  let closed = 0;
  const open = () =>
    new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        if (first !== undefined) socket.write(first);
        resolve();
      });
      socket.on('error', () => undefined);
      socket.on('close', () => {
        closed += 1;
        resolve();
      });
      socket.resume();
      sockets.push(socket);
    });
  while (sockets.length < count)
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - sockets.length) }, open));
  return {
    closed: () => closed,
    end: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** What a client of TLS says first. */
export function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        resolve(chunk);
        done();
      },
    });
    connectTls({ socket: wire, servername: 'localhost' }).on('error', () => undefined);
  });
}
