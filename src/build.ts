import { acceptEvent } from './accept.ts';
import { addressSet } from './addresses.ts';
import { RateTables } from './check/rate-tables.ts';
import { clientChooser, settingsOf } from './clients.ts';
import { compileRoute } from './compile.ts';
import type { WorkerObserver } from './deliver/conclude.ts';
import type { Deliveries } from './deliver/deliveries.ts';
import type { TargetState, Upstream, UpstreamObserver } from './deliver/upstream.ts';
import type { UpstreamPool } from './deliver/upstream-pool.ts';
import type { WorkerRoute } from './deliver/worker.ts';
import { createGateway, type Gateway } from './gateway.ts';
import { ownerOf } from './lane.ts';
import { requestMatcher } from './match.ts';
import type { Pulse } from './pulse.ts';
import type { Log } from './record/log.ts';
import type { Metrics } from './record/metrics.ts';
import { countUse, type Usage, usageOf } from './record/usage.ts';
import type { RouteSettings, Settings } from './settings.ts';
import type { LenientClaims } from './store/redis/local.ts';
import type { Store } from './store-types.ts';
import type { Runner } from './transform/runner.ts';
import type { AddressValue, Refusal } from './types.ts';

export interface Built {
  readonly gateway: Gateway;
  /** Whether any route would let a peer with this address in; others are closed before TLS. */
  readonly admits: (address: AddressValue) => boolean;
  /** What is thought of every upstream's targets. */
  readonly targets: () => Iterable<TargetState>;
  /** How what the routes have accepted is delivered. */
  readonly workers: readonly WorkerRoute[];
  /** What the next configuration takes over of this one. */
  readonly rates: RateTables;
  /** What each route and secret has met so far. */
  readonly usage: Usage;
  /** Another has taken its place: its upstreams are closed when their last answers have ended. */
  readonly release: () => void;
}

/** What outlives one configuration. */
export interface Lasting {
  readonly store: Store;
  readonly deliveries: Deliveries;
  /** What routes go by that let requests in while the state is away. */
  readonly own: LenientClaims;
  readonly upstreams: UpstreamPool;
  readonly pulse: Pulse;
  /** Where the scripts of transformations run. */
  readonly scripts: Runner;
}

export interface Recorders {
  readonly log: Log;
  readonly metrics: Metrics;
}

const DRAINING: Refusal = Object.freeze({ reason: 'gateway.draining' });

/**
 * Builds the gateway from its settings: the only place that knows every part.
 * @param before the gateway of the configuration that this one replaces
 */
export function buildGateway(
  settings: Settings,
  lasting: Lasting,
  { log, metrics }: Recorders,
  before?: Built,
): Built {
  const { store, deliveries } = lasting;
  const upstreams = new Map(
    [...settings.upstreams.values()].map((upstream) => [upstream, lasting.upstreams.take(upstream)]),
  );
  const byName = new Map([...upstreams].map(([{ name }, upstream]) => [name, upstream]));
  const longestLateMs = Math.max(0, ...[...settings.upstreams.values()].map(({ lateMs }) => lateMs));
  const rates = new RateTables(before?.rates);
  const usage = usageOf(settings.routes, before?.usage);
  const compiled = settings.routes.map((route) => {
    const of = settingsOf(route).map((one) =>
      compileRoute(one, {
        ...lasting,
        upstream: upstreams.get(one.upstream) as Upstream,
        upstreamOf: (name) => byName.get(name),
        longestLateMs,
        rates,
        fellBack: () => metrics.stateFallback(one.name),
      }),
    );
    const { path, host, headers } = route;
    return { path, host, headers, of, choose: clientChooser(route, of) };
  });
  const match = requestMatcher(compiled, settings.tls);
  const gateway = createGateway({
    accept: (acceptance) =>
      acceptEvent(store.queue, acceptance, () => deliveries.wake(acceptance.event.route)),
    handOver: async ({ event, claim }, leaseMs, running) =>
      deliveries.takeOver(await store.queue.acceptLeased(event, claim, leaseMs), running),
    match: (head) => {
      const found = match(head);
      return 'reason' in found ? found : found.choose(head.headers).route;
    },
    record: (entry) => {
      const totalMs = performance.now() - entry.startedMs;
      log.request(entry, totalMs);
      metrics.request(entry, totalMs);
      countUse(usage, entry);
    },
    refusedConnection: ({ reason, detail }, address) => {
      log.logger.info({ peer: { address }, reason, detail }, 'connection refused');
      metrics.refusedConnection(reason);
    },
    failed: ({ id, route }, error) => log.logger.error({ id, route, err: error }, 'gateway error'),
    late: ({ id, route, messageId }, settlement) => {
      log.logger.info(
        { id, route, message_id: messageId, upstream_status: settlement.status, reason: settlement.reason },
        'late answer',
      );
    },
    unkeptClaim: ({ id, route, messageId }, error) => {
      metrics.unkeptClaim();
      log.logger.error({ id, route, message_id: messageId, err: error }, 'claim not kept');
    },
  });
  return {
    gateway: {
      ...gateway,
      giveUpAll: () => {
        gateway.giveUpAll();
        rates.giveUpAll(DRAINING);
      },
    },
    admits: admission(settings.routes),
    targets: () => [...upstreams.values()].flatMap((upstream) => [...upstream.targets()]),
    workers: compiled.flatMap(({ of }) => of.map(({ worker }) => worker)),
    rates,
    usage,
    release: () => {
      for (const upstream of upstreams.values()) lasting.upstreams.giveBack(upstream);
    },
  };
}

/** What is recorded of upstreams' targets. */
export function upstreamObserver({ logger }: Log, metrics: Metrics): UpstreamObserver {
  return {
    ejected: (upstream, target, detail) => logger.warn({ upstream, target, detail }, 'target ejected'),
    back: (upstream, target) => logger.info({ upstream, target }, 'target back'),
    connectFailed: metrics.connectFailed,
  };
}

/** What is recorded of deliveries from the queue. */
export function deliveryObserver(log: Log, metrics: Metrics): WorkerObserver {
  return {
    attempted: (lease, attempt, disposal) => {
      log.delivery(lease, attempt, disposal);
      metrics.delivery(lease.event.route, attempt, disposal);
    },
    overrun: ({ event }, { number }) =>
      log.logger.warn(
        { id: event.id, ...ownerOf(event.route), message_id: event.messageId, attempt: number },
        'delivery took longer than its lease: the event was given to another',
      ),
    failed: (lane, error) => log.logger.error({ ...ownerOf(lane), err: error }, 'queue'),
  };
}

function admission(routes: readonly RouteSettings[]): (address: AddressValue) => boolean {
  const entries: string[] = [];
  for (const { addresses, reported } of routes) {
    if (addresses === 'any' || reported.includes('address')) return () => true;
    entries.push(...addresses);
  }
  return addressSet(entries);
}
