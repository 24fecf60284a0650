import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client';
import type { Attempt, Disposal, QueueCount } from '../events.ts';
import { ownerOf } from '../lane.ts';
import { clientMetrics } from './client-metrics.ts';
import { type ConfigurationMetrics, configurationMetrics } from './configuration-metrics.ts';
import type { Entry } from './entry.ts';
import { queueGauges } from './queue-gauges.ts';
import type { Usage } from './usage.ts';
import { usageGauges } from './usage-gauges.ts';

/** Seconds; the finest steps around what a fast upstream takes, the last ones around senders' deadlines. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30];

/** Values that are read when somebody asks. */
export interface Gauges {
  queue: () => Promise<readonly QueueCount[]>;
  connections: () => number;
  handshakes: () => number;
  eventLoopDelayMs: () => number;
  requests: () => number;
  bufferedBytes: () => number;
  ready: () => boolean;
  lostLogWrites: () => number;
  usage: () => Usage;
  targets: () => Iterable<{ readonly upstream: string; readonly target: string; readonly isUp: boolean }>;
}

export interface Metrics extends ConfigurationMetrics {
  request(entry: Entry, totalMs: number): void;
  refusedConnection(reason: string): void;
  /** A connection closed so that a newer one gets in: `unfinished` or `idle`. */
  gaveWay(state: string): void;
  /** Something was turned away before it could hurt what is under way; by which limit. */
  shed(reason: string): void;
  /** A claim that could not be kept after its event was delivered. */
  unkeptClaim(): void;
  /** One delivery from the queue. */
  delivery(lane: string, attempt: Attempt, disposal: Disposal): void;
  /** A decision on this route went by the process's own memory, since the shared state was away. */
  stateFallback(route: string): void;
  /** A connection to an upstream's target that could not be made, whether or not another target took the request. */
  connectFailed(upstream: string, target: string): void;
  watch(gauges: Gauges): void;
  /** The exposition text and its media type. */
  text(): Promise<{ body: string; type: string }>;
}

interface Child {
  count: { inc(): void };
  seconds: { observe(seconds: number): void };
}

export function openMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const requests = new Counter({
    name: 'postern_requests_total',
    help: 'Requests by what became of them.',
    labelNames: ['route', 'outcome', 'reason', 'status'],
    registers,
  });
  const seconds = new Histogram({
    name: 'postern_request_seconds',
    help: 'From the first byte of the head to the answer.',
    labelNames: ['route', 'outcome'],
    buckets: BUCKETS,
    registers,
  });
  const connections = new Counter({
    name: 'postern_refused_connections_total',
    help: 'Connections closed before or in the TLS handshake.',
    labelNames: ['reason'],
    registers,
  });
  const gaveWay = new Counter({
    name: 'postern_connections_given_way_total',
    help: 'Connections closed so that newer ones get in, by what they were: unfinished or idle.',
    labelNames: ['state'],
    registers,
  });
  const shed = new Counter({
    name: 'postern_shed_total',
    help: 'Requests and handshakes turned away for want of capacity, by the limit that was reached.',
    labelNames: ['reason'],
    registers,
  });
  const unkept = new Counter({
    name: 'postern_unkept_claims_total',
    help: 'Delivered events that could not be remembered: a copy of one of them would be delivered again.',
    registers,
  });
  const deliveries = new Counter({
    name: 'postern_deliveries_total',
    help: 'Deliveries from the queue by what became of the event: delivered, waiting for its next attempt, or dead.',
    labelNames: ['route', 'outcome'],
    registers,
  });
  const deliverySeconds = new Histogram({
    name: 'postern_delivery_seconds',
    help: 'How long deliveries from the queue took.',
    labelNames: ['route'],
    buckets: BUCKETS,
    registers,
  });
  const fallbacks = new Counter({
    name: 'postern_state_fallbacks_total',
    help: 'Claims and rate limits decided by the memory of this process alone, since the shared state was away.',
    labelNames: ['route'],
    registers,
  });
  const connects = new Counter({
    name: 'postern_upstream_connect_failures_total',
    help: 'Connections to upstreams that could not be made.',
    labelNames: ['upstream', 'target'],
    registers,
  });
  const clients = clientMetrics(registers);
  const wouldRefuse = new Counter({
    name: 'postern_would_refuse_total',
    help: 'What checks in report mode would have refused, or a filter not delivered.',
    labelNames: ['route', 'reason'],
    registers,
  });
  // Resolving labels costs more than counting; the same few combinations come again and again.
  const children = new Map<string, Child>();
  return {
    request: (entry, totalMs) => {
      const key = `${entry.route}\n${entry.outcome}\n${entry.reason}\n${entry.status}`;
      let child = children.get(key);
      if (child === undefined) {
        const route = entry.route ?? '';
        const { outcome } = entry;
        const labels = { route, outcome, reason: entry.reason ?? '', status: entry.status ?? 0 };
        child = { count: requests.labels(labels), seconds: seconds.labels({ route, outcome }) };
        children.set(key, child);
      }
      child.count.inc();
      child.seconds.observe(totalMs / 1000);
      if (entry.client !== undefined) clients.request(entry);
      for (const reason of entry.wouldRefuse ?? []) wouldRefuse.inc({ route: entry.route ?? '', reason });
      if (entry.reason === 'gateway.overloaded') shed.inc({ reason: limitIn(entry) });
    },
    refusedConnection: (reason) => connections.inc({ reason }),
    gaveWay: (state) => gaveWay.inc({ state }),
    shed: (reason) => shed.inc({ reason }),
    unkeptClaim: () => unkept.inc(),
    delivery: (lane, { durationMs }, disposal) => {
      const { route } = ownerOf(lane);
      deliveries.inc({ route, outcome: disposal.state });
      clients.delivery(lane, disposal);
      deliverySeconds.observe({ route }, durationMs / 1000);
    },
    stateFallback: (route) => fallbacks.inc({ route }),
    ...configurationMetrics(registers),
    connectFailed: (upstream, target) => connects.inc({ upstream, target }),
    watch: (gauges) => {
      gauge(registers, 'postern_connections', 'Open connections of senders.', gauges.connections);
      gauge(
        registers,
        'postern_handshakes',
        'Handshakes that have begun, or wait for that.',
        gauges.handshakes,
      );
      gauge(
        registers,
        'postern_event_loop_delay_seconds',
        'By how much the process is behind with what has arrived.',
        () => gauges.eventLoopDelayMs() / 1000,
      );
      gauge(registers, 'postern_requests_in_flight', 'Requests under way.', gauges.requests);
      gauge(registers, 'postern_buffered_body_bytes', 'Memory held by bodies.', gauges.bufferedBytes);
      gauge(
        registers,
        'postern_log_losses',
        'How many times log lines could not be written.',
        gauges.lostLogWrites,
      );
      gauge(registers, 'postern_ready', '1: takes traffic; 0: draining, or its state is out of reach.', () =>
        gauges.ready() ? 1 : 0,
      );
      queueGauges(registers, gauges.queue);
      usageGauges(registers, gauges.usage);
      new Gauge({
        name: 'postern_upstream_target_up',
        help: '1: takes requests; 0: ejected after failed connections or health checks.',
        labelNames: ['upstream', 'target'],
        registers,
        collect() {
          this.reset();
          for (const { upstream, target, isUp } of gauges.targets())
            this.set({ upstream, target }, isUp ? 1 : 0);
        },
      });
    },
    text: async () => ({ body: await registry.metrics(), type: registry.contentType }),
  };
}

/** The limit that was reached: a detail begins with its name. */
function limitIn({ detail = '' }: Entry): string {
  return detail.split(':', 1)[0] as string;
}

function gauge(registers: Registry[], name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers,
    collect() {
      this.set(read());
    },
  });
}
