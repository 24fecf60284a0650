import type { ClientsSettings } from '../client-settings.ts';
import { settingsOf } from '../clients.ts';
import { answerDeadlineMs, defaultTimeoutMs } from '../deadline.ts';
import type { SenderProfile } from '../sender-profile.ts';
import {
  METHODS,
  type RateLimit,
  type RouteSettings,
  type Settings,
  type SignatureSettings,
} from '../settings.ts';
import { durationText } from './duration-text.ts';
import { isMapping } from './schema.ts';
import { ruleText } from './signature-text.ts';

type Mapping = Readonly<Record<string, unknown>>;
type Known = Omit<Settings, 'shown'>;

/**
 * The values of a file with those that it leaves out and that the schema cannot know: what a sender's profile says,
 * and what one key takes from another. In the notation of the file, secrets and all.
 */
export function completed(root: Mapping, settings: Known): Mapping {
  const limits: Mapping = { ...asMapping(root.limits) };
  const routes = (root.routes as readonly Mapping[]).map((given, index) =>
    completedRoute(given, settings.routes[index] as RouteSettings, limits.body),
  );
  const { state, log } = settings;
  return {
    ...root,
    listen: { ...asMapping(root.listen) },
    admin: settings.admin === false ? false : { ...asMapping(root.admin) },
    tls: completedTls(asMapping(root.tls), settings),
    limits,
    state: { ...asMapping(root.state), ...(state.driver === 'sqlite' && { path: state.path }) },
    log: { ...asMapping(root.log), destination: log.destination },
    upstreams: completedUpstreams(asMapping(root.upstreams), settings),
    routes,
  };
}

function completedTls(given: Mapping, { tls }: Known): Mapping {
  if (!Array.isArray(given.hosts)) return given;
  const { client_ca, client_crl } = given;
  const hosts = given.hosts.map((host: Mapping, index) => ({
    ...(host.client_ca === undefined ? { client_ca, client_crl } : {}),
    client_certificate: tls.hosts[index]?.clientCertificate,
    ...host,
  }));
  return { ...given, hosts };
}

function completedUpstreams(given: Mapping, { routes }: Known): Mapping {
  const users = Map.groupBy(routes.flatMap(settingsOf), ({ upstream }) => upstream.name);
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const upstream = isMapping(value) ? (value as Mapping) : { targets: [value] };
      return [name, { timeout: timeoutText(users.get(name) ?? []), ...upstream }];
    }),
  );
}

/** Senders of different patience give one upstream different times. */
function timeoutText(users: readonly RouteSettings[]): string {
  // Nobody waits for a delivery from the queue.
  const patience = ({ deliver, sender }: RouteSettings) => (deliver === 'queue' ? undefined : sender);
  const senders = new Map(users.map((user) => [patience(user)?.name ?? 'no sender', patience(user)]));
  const byTime = Map.groupBy(senders, ([, sender]) => durationText(defaultTimeoutMs(sender)));
  if (byTime.size <= 1) return [...byTime.keys()][0] ?? durationText(defaultTimeoutMs(undefined));
  return [...byTime]
    .map(([time, names]) => `${time} for ${names.map(([name]) => name).join(', ')}`)
    .join('; ');
}

function completedRoute(given: Mapping, route: RouteSettings, body: unknown): Mapping {
  return {
    methods: [...(route.methods ?? METHODS)],
    certificate: 'any that client_ca vouches for',
    body_limit: body ?? '1MiB',
    ...given,
    addresses: route.reported.includes('address')
      ? { list: route.addresses, mode: 'report' }
      : route.addresses,
    ...completedLimits(given, route.rateLimits),
    ...(route.clients && { clients: completedClients(asMapping(given.clients), route.clients) }),
    ...(route.deliver === 'queue' && {
      retry: { ...asMapping(given.retry) },
      concurrency: route.queue.concurrency,
    }),
    ...(route.signature && { signature: completedRule(asMapping(given.signature), route.signature) }),
  };
}

function completedLimits(given: Mapping, limits: readonly RateLimit[]): Mapping {
  if (given.rate_limit === undefined) return {};
  const bursts = [given.rate_limit].flat().map((limit, place) => {
    const { burst, waitMs = 0, waiting } = limits[place] ?? {};
    return { burst, ...(waitMs > 0 && { waiting }), ...(limit as Mapping) };
  });
  return { rate_limit: bursts };
}

function completedClients(given: Mapping, { header, known }: ClientsSettings): Mapping {
  const clients = (given.known as readonly Mapping[]).map((client, index) => ({
    upstream: known[index]?.upstream.name,
    ...client,
    ...completedLimits(client, known[index]?.rateLimits ?? []),
  }));
  return { header, ...given, known: clients };
}

/** The profiles that the routes name, as they work here. */
export function senderTexts(routes: readonly RouteSettings[]): Mapping {
  const senders = new Map(routes.map(({ sender }) => [sender?.name, sender]));
  return Object.fromEntries(
    [...senders.values()].flatMap((sender) =>
      sender === undefined ? [] : [[sender.name, senderText(sender)]],
    ),
  );
}

function senderText(sender: SenderProfile): Mapping {
  const { deadlineMs, signature, retries, event } = sender;
  const paths = (keys: readonly (readonly string[])[]) => keys.map((path) => path.join('.'));
  return {
    title: sender.title,
    documentation: sender.documentation,
    addresses: sender.addresses ?? [],
    methods: sender.methods,
    client_certificate: sender.clientCertificate,
    ...(signature && { signature: ruleText(signature) }),
    ...(deadlineMs !== undefined && {
      deadline: durationText(deadlineMs),
      answered_within: durationText(answerDeadlineMs(sender)),
    }),
    retries:
      retries.statuses.length === 0
        ? 'none'
        : { statuses: retries.statuses, schedule: retries.scheduleMs.map(durationText) },
    redirects: sender.redirects,
    disabled_by: sender.disabledBy,
    event: { type: paths(event.type), tags: paths(event.tags), company: paths(event.company) },
    ...(sender.clientHeader !== undefined && { client_header: sender.clientHeader }),
  };
}

/** A rule that the route declares, whole; of its sender's, what the profile does not show already. */
function completedRule(given: Mapping, rule: SignatureSettings): Mapping {
  const whole = ruleText(rule);
  if (given.header !== undefined) return { ...whole, ...given };
  const { scheme, tolerance } = whole;
  return { scheme, ...(tolerance !== undefined && { tolerance }), ...given };
}

function asMapping(value: unknown): Mapping {
  return isMapping(value) ? (value as Mapping) : {};
}
