import { Gauge, type Registry } from '@prometheus-io/client';
import type { QueueCount } from '../events.ts';
import { byRoute, clientQueueGauges } from './client-metrics.ts';

/** What waits in the queue, read from the state when somebody asks: another process may have changed it. */
export function queueGauges(registers: Registry[], read: () => Promise<readonly QueueCount[]>): void {
  // A state that is out of reach must not hide all the other figures.
  const lanes = () => read().catch((): readonly QueueCount[] => []);
  const counts = async () => byRoute(await lanes());
  clientQueueGauges(registers, lanes);
  new Gauge({
    name: 'postern_queue_events',
    help: 'Events that are not delivered: waiting, being delivered, dead letters, or in quarantine.',
    labelNames: ['route', 'state'],
    registers,
    async collect() {
      const found = await counts();
      this.reset();
      for (const { route, waiting, delivering, dead, quarantined } of found) {
        this.set({ route, state: 'waiting' }, waiting);
        this.set({ route, state: 'delivering' }, delivering);
        this.set({ route, state: 'dead' }, dead);
        this.set({ route, state: 'quarantined' }, quarantined);
      }
    },
  });
  new Gauge({
    name: 'postern_queue_oldest_seconds',
    help: 'For how long the event that was accepted first has waited for its delivery.',
    labelNames: ['route'],
    registers,
    async collect() {
      const found = await counts();
      this.reset();
      for (const { route, oldestMs } of found)
        this.set({ route }, oldestMs === undefined ? 0 : Math.max(Date.now() - oldestMs, 0) / 1000);
    },
  });
}
