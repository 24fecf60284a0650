import type { Lease } from '../events.ts';
import type { QueueSettings } from '../settings.ts';
import { conclude, DRAINING, type Writing } from './conclude.ts';
import type { Exchange } from './exchange.ts';

/** An exchange that was begun for a sender, which has its answer from the disk since. */
export interface Running {
  readonly exchange: Exchange;
  /** When it began: since the epoch, and by the clock that never jumps. */
  readonly startedMs: number;
  readonly startedAt: number;
  /** Those of the configuration under which it began. */
  readonly rules: QueueSettings;
}

/** The exchanges that have become first deliveries of queued events, whatever becomes of their routes. */
export interface HandedOver {
  take(lease: Lease, running: Running): void;
  underWay(): number;
  giveUpAll(): void;
}

/** @param ended called with the route: its event may be due again */
export function handedOver(writing: Writing, ended: (route: string) => void): HandedOver {
  const exchanges = new Set<Exchange>();

  async function follow(lease: Lease, { exchange, rules, ...started }: Running): Promise<void> {
    const { route } = lease.event;
    try {
      const outcome = await exchange.answer;
      await conclude({ lease, ...started, outcome, target: exchange.target }, rules, writing);
    } catch (error) {
      // The lease ends by itself, and the event is delivered then.
      writing.observer.failed(route, error);
    }
    exchanges.delete(exchange);
    ended(route);
  }

  return {
    take(lease, running) {
      exchanges.add(running.exchange);
      void follow(lease, running);
    },
    underWay: () => exchanges.size,
    giveUpAll: () => {
      for (const exchange of exchanges) exchange.giveUp(DRAINING);
    },
  };
}
