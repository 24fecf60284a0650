import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterAll } from 'vitest';
import type { Upstream } from './upstream.ts';
import { waitFor } from './wait.ts';

/** `pass` connects through; `drop` ends each connection at once, and those there are; `hold` keeps it and says nothing. */
export type DoorMode = 'pass' | 'drop' | 'hold';

/** What stands before an upstream: to those that connect it is the upstream, in good and bad times. */
export interface Door {
  readonly url: string;
  /** How many connections have come, whatever became of them. */
  connections(): number;
  /** Resolves once so many have come. */
  reached(connections: number): Promise<void>;
  /** For all that come from now on; `pass` also takes those that are held. */
  set(mode: DoorMode): void;
  /** From now on connections are refused; those there are stay. */
  turnAway(): void;
  /** From now on connections are refused, and those there are ended. */
  shut(): Promise<void>;
  /** From now on they are taken again, on the same port. */
  open(): Promise<void>;
}

const ends = new Set<() => void>();
afterAll(() => {
  for (const end of ends) end();
});

/** Opens a door on a port of its own. */
export async function startDoor(upstream: Upstream, mode: DoorMode = 'pass'): Promise<Door> {
  const target = new URL(upstream.url);
  const sockets = new Set<net.Socket>();
  const held: net.Socket[] = [];
  const watchers = new Set<() => void>();
  let connections = 0;
  const keep = (socket: net.Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  };
  const pass = (socket: net.Socket): void => {
    const inner = net.connect(Number(target.port), '127.0.0.1');
    keep(inner);
    for (const [one, other] of [
      [socket, inner],
      [inner, socket],
    ] as const) {
      one.pipe(other);
      one.once('close', () => other.destroy());
    }
  };
  const server = net.createServer((socket) => {
    connections += 1;
    keep(socket);
    if (mode === 'drop') socket.destroy();
    else if (mode === 'hold') held.push(socket);
    else pass(socket);
    for (const look of [...watchers]) look();
  });
  let port = 0;
  const open = async (): Promise<void> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  };
  const shut = async (): Promise<void> => {
    const closed = server.listening ? once(server, 'close') : undefined;
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await open();
  ends.add(() => void shut());
  return {
    url: `${target.protocol}//127.0.0.1:${port}`,
    connections: () => connections,
    reached: (wanted) =>
      waitFor(
        watchers,
        () => (connections >= wanted ? (true as const) : undefined),
        () => `${connections} connections of ${wanted}`,
      ).then(() => undefined),
    set: (next) => {
      mode = next;
      if (mode === 'pass') for (const socket of held.splice(0)) pass(socket);
      if (mode === 'drop') for (const socket of sockets) socket.destroy();
    },
    turnAway: () => void server.close(),
    shut,
    open,
  };
}

/**
 * A place that does not answer to being connected to, as a machine that is gone: a listening socket whose queue is
 * full, since nobody ever takes from it.
 */
export async function startUnreachable(): Promise<string> {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     const server = require('node:net').createServer();
     server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
     });`,
    { eval: true },
  );
  const [port] = (await once(worker, 'message')) as [number];
  const fillers = Array.from({ length: 4 }, () =>
    net.connect(port, '127.0.0.1').on('error', () => undefined),
  );
  ends.add(() => {
    for (const filler of fillers) filler.destroy();
    void worker.terminate();
  });
  // Two fit into the queue; the others show that it is full by not getting in.
  await Promise.all(fillers.slice(0, 2).map((filler) => once(filler, 'connect')));
  return `http://127.0.0.1:${port}`;
}
