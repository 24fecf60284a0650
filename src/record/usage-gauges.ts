import { Counter, Gauge, type Registry } from '@prometheus-io/client';
import type { Usage } from './usage.ts';

/** Read when somebody asks: counting costs the requests nothing more than the numbers themselves. */
export function usageGauges(registers: Registry[], read: () => Usage): void {
  new Counter({
    name: 'postern_secret_matches_total',
    help: 'Requests that were signed by a secret, by its place in the route.',
    labelNames: ['route', 'secret'],
    registers,
    collect() {
      this.reset();
      for (const [route, { secrets }] of read())
        for (const [secret, { count }] of secrets.entries()) this.inc({ route, secret }, count);
    },
  });
  new Gauge({
    name: 'postern_route_last_match_seconds',
    help: 'When a route last had a request, seconds since the epoch; 0: it had none since the start.',
    labelNames: ['route'],
    registers,
    collect() {
      this.reset();
      for (const [route, { requests }] of read()) this.set({ route }, (requests.lastMs ?? 0) / 1000);
    },
  });
}
