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

export interface Connections {
  readonly target: Target;
  readonly pool: Pool;
}

/** Opens nothing yet: connections are made when they are needed. */
export function openUpstream(settings: UpstreamSettings): Upstream {
  const all = settings.targets.map((target) => ({ target, pool: poolFor(target, settings) }));
  let turn = 0;
  return {
    settings,
    next: () => {
      turn = (turn + 1) % all.length;
      return all[turn] as Connections;
    },
    close: async () => {
      await Promise.all(all.map(({ pool }) => pool.destroy()));
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
