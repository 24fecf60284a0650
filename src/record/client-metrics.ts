import { Counter, Gauge, type Registry } from '@prometheus-io/client';
import type { Disposal, QueueCount } from '../events.ts';
import { ownerOf } from '../lane.ts';
import type { Entry } from './entry.ts';

/** What is counted of known clients, beside what is counted of their route: ids that senders invent are no labels. */
export interface ClientMetrics {
  request(entry: Entry): void;
  delivery(lane: string, disposal: Disposal): void;
}

export function clientMetrics(registers: Registry[]): ClientMetrics {
  const requests = new Counter({
    name: 'postern_client_requests_total',
    help: 'Requests that named a known client, by what became of them.',
    labelNames: ['route', 'client', 'outcome', 'reason'],
    registers,
  });
  const deliveries = new Counter({
    name: 'postern_client_deliveries_total',
    help: 'Deliveries from the queue of a known client by what became of the event.',
    labelNames: ['route', 'client', 'outcome'],
    registers,
  });
  return {
    request: ({ route = '', client = '', outcome, reason = '' }) =>
      requests.inc({ route, client, outcome, reason }),
    delivery: (lane, { state }) => {
      const { route, client } = ownerOf(lane);
      if (client !== undefined) deliveries.inc({ route, client, outcome: state });
    },
  };
}

/** What waits of each client; of the whole route the gauges of the queue tell. */
export function clientQueueGauges(registers: Registry[], read: () => Promise<readonly QueueCount[]>): void {
  new Gauge({
    name: 'postern_client_queue_events',
    help: "A known client's accepted events that are not delivered: waiting, being delivered, dead letters, or in quarantine.",
    labelNames: ['route', 'client', 'state'],
    registers,
    async collect() {
      const found = await read();
      this.reset();
      for (const { route: lane, waiting, delivering, dead, quarantined } of found) {
        const { route, client } = ownerOf(lane);
        if (client === undefined) continue;
        this.set({ route, client, state: 'waiting' }, waiting);
        this.set({ route, client, state: 'delivering' }, delivering);
        this.set({ route, client, state: 'dead' }, dead);
        this.set({ route, client, state: 'quarantined' }, quarantined);
      }
    },
  });
}

/** The counts of routes, those of their clients included. */
export function byRoute(counts: readonly QueueCount[]): readonly QueueCount[] {
  const routes = Map.groupBy(counts, ({ route }) => ownerOf(route).route);
  return [...routes].map(([route, lanes]) => lanes.reduce(sum, { ...NONE, route }));
}

const NONE = { waiting: 0, delivering: 0, dead: 0, quarantined: 0, oldestMs: undefined };

function sum(all: QueueCount, one: QueueCount): QueueCount {
  const times = [all.oldestMs, one.oldestMs].filter((ms) => ms !== undefined);
  return {
    route: all.route,
    waiting: all.waiting + one.waiting,
    delivering: all.delivering + one.delivering,
    dead: all.dead + one.dead,
    quarantined: all.quarantined + one.quarantined,
    oldestMs: times.length === 0 ? undefined : Math.min(...times),
  };
}
