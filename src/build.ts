import { addressSet } from './addresses.ts';
import { attester } from './attest.ts';
import { checksFor } from './check/index.ts';
import { RateTables } from './check/rate-tables.ts';
import { answerDeadlineMs, defaultTimeoutMs } from './deadline.ts';
import type { TargetState, Upstream, UpstreamObserver } from './deliver/upstream.ts';
import type { UpstreamPool } from './deliver/upstream-pool.ts';
import { fieldCount, fieldValue } from './fields.ts';
import { createGateway, type Gateway, type Route } from './gateway.ts';
import { upstreamFields } from './headers.ts';
import { isOneTrust, trustFinder } from './listen/trust.ts';
import type { Pulse } from './pulse.ts';
import type { Log } from './record/log.ts';
import type { Metrics } from './record/metrics.ts';
import { responderFor } from './respond.ts';
import { choosingHeaders, findRoute, routeTable } from './route/table.ts';
import { METHODS, type RouteSettings, type SenderProfile, type Settings } from './settings.ts';
import { memoryStore } from './store/memory.ts';
import { sqliteStore } from './store/sqlite.ts';
import type { TlsSettings } from './tls-settings.ts';
import type { AddressValue, Head, Refusal, Store } from './types.ts';

export interface Built {
  readonly gateway: Gateway;
  /** Whether any route would let a peer with this address in; others are closed before TLS. */
  readonly admits: (address: AddressValue) => boolean;
  /** What is thought of every upstream's targets. */
  readonly targets: () => Iterable<TargetState>;
  /** What the next configuration takes over of this one. */
  readonly rates: RateTables;
  /** Another has taken its place: its upstreams are closed when their last answers have ended. */
  readonly release: () => void;
}

/** What outlives one configuration. */
export interface Lasting {
  readonly store: Store;
  readonly upstreams: UpstreamPool;
  readonly pulse: Pulse;
}

export interface Recorders {
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Larger bodies are not parsed for the sake of one word in the log. */
const PARSED_BYTES = 64 * 1024;

/**
 * Opens the state that the settings name.
 * @throws Error where another program keeps it locked, StateFileError where an operator has to act
 */
export async function openStore({ state }: Settings, warn: (sentence: string) => void): Promise<Store> {
  return state.driver === 'memory' ? memoryStore(state.retention, warn) : sqliteStore(state, warn);
}

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
  const { store } = lasting;
  const upstreams = new Map(
    [...settings.upstreams.values()].map((upstream) => [upstream, lasting.upstreams.take(upstream)]),
  );
  const rates = new RateTables(before?.rates);
  const compiled = settings.routes.map((route) => ({
    path: route.path,
    host: route.host,
    headers: route.headers,
    route: compile(route, upstreams.get(route.upstream) as Upstream, { rates, pulse: lasting.pulse }),
  }));
  const table = routeTable(compiled);
  const choosing = choosingHeaders(settings.routes);
  const misdirected = misdirection(settings.tls);
  const gateway = createGateway({
    store,
    match: (head) =>
      misdirected?.(head) ?? refuseRepeated(head, choosing) ?? findRoute(table, head)?.route ?? NOT_FOUND,
    record: (entry) => {
      const totalMs = performance.now() - entry.startedMs;
      log.request(entry, totalMs);
      metrics.request(entry, totalMs);
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
    gateway,
    admits: admission(settings.routes),
    targets: () => [...upstreams.values()].flatMap((upstream) => [...upstream.targets()]),
    rates,
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

const NOT_FOUND: Refusal = Object.freeze({ reason: 'route.not_found' });

function compile(
  route: RouteSettings,
  upstream: Upstream,
  counted: { rates: RateTables; pulse: Pulse },
): Route {
  const checks = checksFor(route, { ...counted, destination: upstream });
  return {
    name: route.name,
    sender: route.sender?.name,
    methods: new Set<string>(route.methods ?? METHODS),
    checks,
    bodyLimit: route.bodyLimit,
    eventType: eventTypeReader(route.sender),
    clientOf: clientReader(route.sender?.clientHeader),
    upstream,
    upstreamTarget: targetMapper(route),
    upstreamFields: upstreamFields(route),
    attest: route.attest && attester(route.attest, route, checks),
    deadlineMs: answerDeadlineMs(route.sender),
    timeoutMs: upstream.settings.timeoutMs ?? defaultTimeoutMs(route.sender),
    rememberMs: route.rememberMs,
    responder: responderFor(route.sender, route.webhookDelivery === 'pass'),
  };
}

/** The upstream's path: the request's own, a fixed one, or what follows a prefix below another. The query stays. */
function targetMapper({ path, upstreamPath }: RouteSettings): (head: Head) => string {
  if (upstreamPath === undefined) return (head) => head.path + head.query;
  if (!path.endsWith('/*')) return (head) => upstreamPath + head.query;
  const base = upstreamPath.endsWith('/') ? upstreamPath : `${upstreamPath}/`;
  return (head) => base + head.path.slice(path.length - 1) + head.query;
}

const MISDIRECTED: Refusal = Object.freeze({ reason: 'request.misdirected' });

/**
 * Refuses a request for a host where others are believed than at the host of its handshake (RFC 9110 section
 * 15.5.20): a client trusted for one host would walk into another. `undefined`: all hosts trust alike.
 */
function misdirection(tls: TlsSettings): ((head: Head) => Refusal | undefined) | undefined {
  if (isOneTrust(tls)) return undefined;
  const find = trustFinder(tls);
  return ({ host, peer }) => (find(host).id === find(peer.host).id ? undefined : MISDIRECTED);
}

/** A header that chooses the route must not say two things: whoever reads the other value is on another route. */
function refuseRepeated(head: Head, choosing: ReadonlySet<string>): Refusal | undefined {
  for (const name of choosing) {
    if (fieldCount(head.headers, name) > 1)
      return { reason: 'request.malformed', detail: `${name} repeated` };
  }
  return undefined;
}

function admission(routes: readonly RouteSettings[]): (address: AddressValue) => boolean {
  const entries: string[] = [];
  for (const { addresses } of routes) {
    if (addresses === 'any') return () => true;
    entries.push(...addresses);
  }
  return addressSet(entries);
}

function clientReader(header: string | undefined): (head: Head) => string {
  return header === undefined ? () => '' : ({ headers }) => fieldValue(headers, header) ?? '';
}

/** The event's type, for the record only: nothing is decided by it. */
function eventTypeReader(sender: SenderProfile | undefined): (body: Buffer) => string | undefined {
  const paths = sender?.event.type ?? [];
  if (paths.length === 0) return () => undefined;
  const early = paths.flatMap(([key, ...rest]) =>
    key === undefined || rest.length > 0 ? [] : [earlyMember(key)],
  );
  return (body) => {
    if (body.length === 0 || body.length > PARSED_BYTES) return undefined;
    const start = body.toString('latin1', 0, EARLY_BYTES);
    for (const pattern of early) {
      const type = pattern.exec(start)?.[1];
      if (type !== undefined) return type;
    }
    return parsedType(body, paths);
  };
}

const EARLY_BYTES = 512;

/**
 * A text member of the outermost object with nothing nested before it: there most senders put the type, and finding
 * it costs a tenth of parsing the message. No two parts can match the same character, so the cost is linear.
 */
function earlyMember(key: string): RegExp {
  const member = String.raw`"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-+.\w]+)\s*,\s*`;
  return new RegExp(
    String.raw`^\s*\{\s*(?:${member})*?"${RegExp.escape(key)}"\s*:\s*"([ -!#-\[\]-~]{1,128})"`,
  );
}

function parsedType(body: Buffer, paths: SenderProfile['event']['type']): string | undefined {
  try {
    const message: unknown = JSON.parse(body.toString());
    const found = paths
      .map((path) => path.reduce(member, message))
      .find((value) => typeof value === 'string');
    return typeof found === 'string' ? found.slice(0, 128) : undefined;
  } catch {
    return undefined;
  }
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
