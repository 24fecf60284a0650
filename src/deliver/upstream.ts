import { Pool } from 'undici';
import type { Target, UpstreamSettings } from '../settings.ts';

/** An upstream's connections, kept for the life of the configuration. */
export interface Upstream {
  readonly settings: UpstreamSettings;
  /** The next target in turn. */
  next(): Connections;
  /** Ends every connection; what is under way fails. */
  close(): Promise<void>;
}

/** The connections to one target. */
export interface Connections {
  readonly target: Target;
  /** Calls `send` as soon as one of the connections is free, in order of asking. */
  enter(send: (pool: Pool) => void): Place;
}

/** A request's place among those that use, or wait for, the connections to a target. */
export interface Place {
  /** Leaves the queue; false: the request is being sent already. */
  leave(): boolean;
  /** The exchange is over: the next in the queue may send. Must be called once. */
  free(): void;
}

/** Opens nothing yet: connections are made when they are needed. */
export function openUpstream(settings: UpstreamSettings): Upstream {
  const pools = settings.targets.map((target) => poolFor(target, settings));
  const all = settings.targets.map((target, place) =>
    connectionsOf(target, pools[place] as Pool, settings.connections),
  );
  let turn = 0;
  return {
    settings,
    next: () => {
      turn = (turn + 1) % all.length;
      return all[turn] as Connections;
    },
    close: async () => {
      await Promise.all(pools.map((pool) => pool.destroy()));
    },
  };
}

/** The queue is here and not in the pool: there, a request that was given up would stay, body and all. */
function connectionsOf(target: Target, pool: Pool, count: number): Connections {
  const waiting = new Set<() => void>();
  let free = count;
  return {
    target,
    enter: (send) => {
      const start = () => {
        free -= 1;
        waiting.delete(start);
        send(pool);
      };
      waiting.add(start);
      if (free > 0) start();
      return {
        leave: () => waiting.delete(start),
        free: () => {
          free += 1;
          const [next] = waiting;
          next?.();
        },
      };
    },
  };
}

function poolFor(target: Target, { connections, connectTimeoutMs, tls }: UpstreamSettings): Pool {
  return new Pool(target.origin, {
    connections,
    pipelining: 1,
    connect: {
      timeout: connectTimeoutMs,
      ...(target.socketPath === undefined ? {} : { socketPath: target.socketPath }),
      ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls?.certificate === undefined ? {} : { cert: tls.certificate }),
      ...(tls?.privateKey === undefined ? {} : { key: tls.privateKey }),
    },
    // The exchange keeps its own time: undici's clock ticks once a second.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}
