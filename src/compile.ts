import { eventMaker } from './accept.ts';
import { type Attested, attester } from './attest.ts';
import { checksFor } from './check/index.ts';
import type { RateTables } from './check/rate-tables.ts';
import { answerDeadlineMs, defaultTimeoutMs, lateAfterMs } from './deadline.ts';
import type { Upstream } from './deliver/upstream.ts';
import type { WorkerRoute } from './deliver/worker.ts';
import { eventTypeReader } from './event-type.ts';
import type { Lease, QueuedEvent } from './events.ts';
import { type Fields, fieldValue, onlyValue } from './fields.ts';
import { messageFilter } from './filter.ts';
import { upstreamFields } from './headers.ts';
import { laneOf } from './lane.ts';
import type { Pulse } from './pulse.ts';
import { quarantine } from './quarantine.ts';
import type { Route } from './request.ts';
import { responderFor } from './respond.ts';
import { METHODS, type RouteSettings } from './settings.ts';
import type { LenientClaims } from './store/redis/local.ts';
import type { Store } from './store-types.ts';
import type { Runner } from './transform/runner.ts';
import { transformation, type Way } from './transformation.ts';
import type { Head, Refusal } from './types.ts';

/** What one route is made with. */
export interface Ground {
  readonly upstream: Upstream;
  /** Any upstream of the configuration: a script may choose one. */
  readonly upstreamOf: (name: string) => Upstream | undefined;
  /** Of all upstreams of the configuration. */
  readonly longestLateMs: number;
  readonly scripts: Runner;
  readonly store: Store;
  /** What the route goes by where it lets requests in while the state is away. */
  readonly own: LenientClaims;
  readonly rates: RateTables;
  readonly pulse: Pulse;
  /** A decision went by this process's own memory. */
  readonly fellBack: () => void;
}

/** One route, compiled: how its requests are answered, and how what it accepted is delivered. */
export interface CompiledRoute {
  readonly route: Route;
  readonly worker: WorkerRoute;
}

/** Decides all of a route that can be decided before a request. */
export function compileRoute(settings: RouteSettings, ground: Ground): CompiledRoute {
  const { upstream, store, own, fellBack } = ground;
  const isQueue = settings.deliver === 'queue';
  // A queue takes what its upstream has no place for.
  const destination = isQueue ? ALWAYS_FREE : upstream;
  const checks = checksFor(settings, { ...ground, shared: store.rates, destination });
  const isLenient = store.rates !== undefined && settings.onStateLoss === 'allow';
  const fields = upstreamFields(settings);
  const attest = settings.attest && attester(settings.attest, settings, checks);
  const target = targetMapper(settings);
  const { sender } = settings;
  const clientOf = clientReader(settings);
  const transform =
    settings.transform &&
    transformation(
      settings.transform,
      settings,
      { upstream, fields },
      waysOf(settings, ground),
      ground.scripts,
    );
  const route: Route = {
    name: settings.name,
    sender: sender?.name,
    client: settings.client?.id,
    methods: new Set<string>(settings.methods ?? METHODS),
    checks,
    bodyLimit: settings.bodyLimit,
    eventType: eventTypeReader(sender),
    clientOf,
    upstream,
    upstreamTarget: target,
    upstreamFields: fields.whole,
    attest,
    quarantine: quarantine(settings, { fields, clientOf, queue: store.queue }),
    filter: settings.filter && messageFilter(settings.filter, sender),
    filterReports: settings.reported.includes('filter'),
    transform,
    queued: isQueue ? eventMaker(settings, fields) : undefined,
    late:
      settings.late === 'queue'
        ? { afterMs: lateAfterMs(sender), event: eventMaker(settings, fields), rules: settings.queue }
        : undefined,
    deadlineMs: answerDeadlineMs(sender),
    timeoutMs: upstream.settings.timeoutMs ?? defaultTimeoutMs(sender),
    lateMs: transform === undefined ? upstream.settings.lateMs : ground.longestLateMs,
    claims: isLenient ? own.lenient(store, fellBack) : store,
    rememberMs: settings.rememberMs,
    responder: responderFor(sender, settings.webhookDelivery === 'pass'),
  };
  const worker: WorkerRoute = {
    name: laneOf(settings.name, settings.client?.id),
    queue: settings.queue,
    upstream,
    // Nobody waits for the answer: the upstream has its time and what an exchange may run on after that.
    timeoutMs: (upstream.settings.timeoutMs ?? defaultTimeoutMs(undefined)) + upstream.settings.lateMs,
    ready: async (lease) => {
      const { event } = lease;
      const { receivedMs } = event;
      const original = { method: event.method, path: target(event), body: event.body };
      const made = await transform?.({ ...original, receivedMs });
      if (made === 'cancelled' || (made !== undefined && 'reason' in made)) return made;
      const { method, path, body } = made ?? original;
      const completed = (made?.fields ?? fields).completed(vouchedFor(event));
      const headers = [...(made?.renew(completed) ?? completed), ...deliveryFields(lease)];
      if (attest !== undefined) headers.push(...(await attest(attestedOf(lease, method, body), path)));
      return { upstream: made?.upstream ?? upstream, method, path, headers, body };
    },
  };
  return { route, worker };
}

/** What the gate said of the client when the event came went by a signature that did not hold, if it was forced. */
function vouchedFor({ headers, forced }: QueuedEvent): Fields {
  if (forced === undefined) return headers;
  return headers.filter((_, place) => headers[place - (place % 2)] !== 'x-postern-client');
}

const ALWAYS_FREE: { readonly full: Refusal | undefined } = Object.freeze({ full: undefined });

/**
 * By which the upstream can tell a repeat: the event's id, and the how-manieth delivery of it this is; and that a person
 * vouches for it, where the signature does not.
 */
function deliveryFields({ event, attempt }: Lease): Fields {
  const named = fieldValue(event.headers, 'webhook-id') === undefined;
  return [
    ...(named ? ['webhook-id', event.messageId ?? event.id] : []),
    'x-postern-attempt',
    String(attempt),
    ...(event.forced === undefined ? [] : ['x-postern-forced', '1']),
  ];
}

/** With another upstream go the fields that the configuration adds there. */
function waysOf(settings: RouteSettings, { upstreamOf }: Ground): (name: string) => Way | undefined {
  const ways = new Map<string, Way>();
  return (name) => {
    const upstream = upstreamOf(name);
    if (upstream === undefined || ways.has(name)) return ways.get(name);
    const way = { upstream, fields: upstreamFields({ ...settings, upstream: upstream.settings }) };
    ways.set(name, way);
    return way;
  };
}

function attestedOf({ event }: Lease, method: string, body: Buffer): Attested {
  const { id, certificate, messageId, forced } = event;
  const client = fieldValue(vouchedFor(event), 'x-postern-client');
  const isForced = forced !== undefined;
  return { id, method, body, fingerprint: certificate?.fingerprint, messageId, client, isForced };
}

/** The upstream's path: the request's own, a fixed one, or what follows a prefix below another. The query stays. */
function targetMapper({
  path,
  upstreamPath,
}: RouteSettings): (request: Pick<Head, 'path' | 'query'>) => string {
  if (upstreamPath === undefined) return (request) => request.path + request.query;
  if (!path.endsWith('/*')) return ({ query }) => upstreamPath + query;
  const base = upstreamPath.endsWith('/') ? upstreamPath : `${upstreamPath}/`;
  const prefix = path.slice(0, -1);
  return (request) => {
    // Accepted when the route had another path: there is nothing to put in the place of.
    if (!request.path.startsWith(prefix)) return request.path + request.query;
    return base + request.path.slice(prefix.length) + request.query;
  };
}

/** Whose event it is, for its claim. What names two is nobody's, or it could claim what is another's. */
function clientReader({ client, clients, sender }: RouteSettings): (head: Head) => string {
  if (client !== undefined) return () => client.id;
  if (clients !== undefined) return ({ headers }) => onlyValue(headers, clients.header) ?? '';
  const header = sender?.clientHeader;
  return header === undefined ? () => '' : ({ headers }) => fieldValue(headers, header) ?? '';
}
