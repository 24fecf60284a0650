import { setTimeout as sleep } from 'node:timers/promises';
import type { Deliveries } from '../../deliver/deliveries.ts';
import type { Listener } from '../../listen/server.ts';
import type { Log } from '../../record/log.ts';
import type { Live } from './live.ts';

/** What is left of the drain timeout for answering those whose upstream did not. */
const LAST_ANSWERS_MS = 1000;
const POLL_MS = 20;
const LAST_TURNS = 100;

interface Leaving {
  readonly log: Log;
  readonly live: Live;
  readonly listener: Listener;
  readonly deliveries: Deliveries;
}

/** Ends in order: readiness and kept connections first, then new ones, then the requests under way, all within the drain timeout. */
export async function drain({ log, live, listener, deliveries }: Leaving, signal: string): Promise<void> {
  const { drainDelay, drainTimeout } = live.settings.limits;
  const startedMs = performance.now();
  log.logger.info({ signal, in_flight: live.inFlight() }, 'draining');
  const patienceMs = Math.max(drainTimeout - LAST_ANSWERS_MS, drainTimeout / 2);
  const giveUp = setTimeout(() => {
    live.giveUpAll();
    deliveries.giveUpAll();
  }, patienceMs);
  const end = setTimeout(() => listener.destroy(), drainTimeout - Math.min(100, drainTimeout / 10));
  listener.leave();
  if (drainDelay > 0) await sleep(Math.min(drainDelay, patienceMs));
  listener.drain();
  await listener.closed;
  // A delivery that is cut off would be made once more.
  while (deliveries.underWay() > 0 && performance.now() < startedMs + patienceMs) await sleep(POLL_MS);
  clearTimeout(giveUp);
  deliveries.giveUpAll();
  // An exchange whose sender was told 504 may still succeed: cut off, its event would be delivered once more.
  while (live.exchanges() > 0 && performance.now() < startedMs + patienceMs) await sleep(POLL_MS);
  // Requests that were cut off at the end are recorded when their connections' ends have been heard.
  for (let turn = 0; turn < LAST_TURNS && live.inFlight() + deliveries.underWay() > 0; turn += 1)
    await sleep(1);
  clearTimeout(end);
}
