import type { Socket } from 'node:net';
import { buildConnector, Client } from 'undici';
import type { Target, UpstreamSettings } from '../settings.ts';

/** An upstream's connections, kept for the life of the configuration. */
export interface Upstream {
  readonly settings: UpstreamSettings;
  /** How many exchanges are under way or wait. */
  readonly busy: number;
  /** The next target in turn. */
  next(): Connections;
  /** Ends every connection; what is under way fails. */
  close(): Promise<void>;
}

/** One connection, made again where it was lost. */
export interface Connection {
  readonly client: Client;
  /** Its socket has failed: an answer that ends now, for want of a length, is not whole. */
  readonly hasFailed: boolean;
}

/** A request that is to be sent on one connection. */
export interface Waiter {
  /** Called once, as soon as a connection is free; it is this request's until `free` is called. */
  send(connection: Connection): void;
}

/**
 * The connections to one target, each with one request at a time. The queue is here and not in undici: there, a
 * request that was given up would stay, body and all.
 */
export class Connections {
  readonly target: Target;
  readonly #settings: UpstreamSettings;
  readonly #all: Connection[] = [];
  /** The one that was used last is used next: those that are not needed grow idle and are closed. */
  readonly #idle: Connection[] = [];
  readonly #waiting = new Set<Waiter>();

  constructor(target: Target, settings: UpstreamSettings) {
    this.target = target;
    this.#settings = settings;
  }

  /** Calls `send` at once, or in order of asking. */
  enter(waiter: Waiter): void {
    const connection = this.#idle.pop() ?? this.#another();
    if (connection === undefined) this.#waiting.add(waiter);
    else waiter.send(connection);
  }

  /** Leaves the queue; false: the request is being sent already. */
  leave(waiter: Waiter): boolean {
    return this.#waiting.delete(waiter);
  }

  /** The exchange on this connection is over. Must be called once for each `send`. */
  free(connection: Connection): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#idle.push(connection);
      return;
    }
    this.#waiting.delete(next);
    next.send(connection);
  }

  get busy(): number {
    return this.#all.length - this.#idle.length + this.#waiting.size;
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map(({ client }) => client.destroy()));
  }

  #another(): Connection | undefined {
    if (this.#all.length >= this.#settings.connections) return undefined;
    const connection = connectionTo(this.target, this.#settings);
    this.#all.push(connection);
    return connection;
  }
}

/** Opens nothing yet: connections are made when they are needed. */
export function openUpstream(settings: UpstreamSettings): Upstream {
  const all = settings.targets.map((target) => new Connections(target, settings));
  let turn = 0;
  return {
    settings,
    get busy() {
      return all.reduce((sum, connections) => sum + connections.busy, 0);
    },
    next: () => {
      turn = (turn + 1) % all.length;
      return all[turn] as Connections;
    },
    close: async () => {
      await Promise.all(all.map((connections) => connections.close()));
    },
  };
}

function connectionTo(target: Target, { connectTimeoutMs, tls }: UpstreamSettings): Connection {
  const connect = buildConnector({
    timeout: connectTimeoutMs,
    ...(target.socketPath === undefined ? {} : { socketPath: target.socketPath }),
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.certificate === undefined ? {} : { cert: tls.certificate }),
    ...(tls?.privateKey === undefined ? {} : { key: tls.privateKey }),
  });
  let current: Socket | null = null;
  const connection = {
    hasFailed: false,
    client: new Client(target.origin, {
      pipelining: 1,
      connect: (options, done) =>
        connect(options, (...[error, socket]) => {
          current = socket;
          connection.hasFailed = false;
          // Heard before undici hears it: a reset would otherwise be the good end of an answer without a length.
          socket?.once('error', () => {
            if (socket === current) connection.hasFailed = true;
          });
          if (error === null) done(null, socket);
          else done(error, null);
        }),
      // The exchange keeps its own time: undici's clock ticks once a second.
      headersTimeout: 0,
      bodyTimeout: 0,
    }),
  };
  return connection;
}
