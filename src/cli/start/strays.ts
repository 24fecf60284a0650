import type { Built } from '../../build.ts';
import { ownerOf } from '../../lane.ts';
import type { Log } from '../../record/log.ts';
import type { Store } from '../../store-types.ts';

/** Events of a route that is not configured any more are kept, but nobody delivers them. */
export function warnOfStrays({ store, log }: { store: Store; log: Log }, { workers }: Built): void {
  const known = new Set(workers.map(({ name }) => ownerOf(name).route));
  store.queue.counts().then(
    (counts) => {
      for (const { route, waiting, delivering } of counts) {
        if (known.has(ownerOf(route).route) || waiting + delivering === 0) continue;
        const advice = 'configure the route again, or discard them with postern events discard';
        log.logger.warn({ route, events: waiting + delivering, advice }, 'events of an unknown route wait');
      }
    },
    (error) => log.logger.error({ err: error }, 'queue'),
  );
}
