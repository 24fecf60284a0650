import { isDeepStrictEqual } from 'node:util';
import type { UpstreamSettings } from '../settings.ts';
import { openUpstream, type Upstream, type UpstreamObserver } from './upstream.ts';

const POLL_MS = 500;

/** The upstreams of the configuration and of those before it: one that did not change stays open. */
export interface UpstreamPool {
  /** Opens an upstream, or takes one with the same settings. Must be given back once. */
  take(settings: UpstreamSettings): Upstream;
  /** Where nobody else has taken it, it is closed once nothing is under way on it any more. */
  giveBack(upstream: Upstream): void;
  /** Ends every connection; what is under way fails. */
  close(): Promise<void>;
}

export function upstreamPool(observer: UpstreamObserver): UpstreamPool {
  const users = new Map<Upstream, number>();
  const sweeping = setInterval(sweep, POLL_MS).unref();

  function sweep(): void {
    for (const [upstream, count] of users) {
      if (count > 0 || upstream.busy > 0) continue;
      users.delete(upstream);
      void upstream.close();
    }
  }

  return {
    take: (settings) => {
      const same = [...users.keys()].find((upstream) => isDeepStrictEqual(upstream.settings, settings));
      const upstream = same ?? openUpstream(settings, observer);
      users.set(upstream, (users.get(upstream) ?? 0) + 1);
      return upstream;
    },
    giveBack: (upstream) => {
      users.set(upstream, (users.get(upstream) ?? 1) - 1);
    },
    close: async () => {
      clearInterval(sweeping);
      await Promise.all([...users.keys()].map((upstream) => upstream.close()));
    },
  };
}
