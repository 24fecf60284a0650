import type { ClientsSettings } from '../client-settings.ts';
import type { SenderProfile } from '../sender-profile.ts';
import type {
  CertificateRule,
  Limits,
  RateLimit,
  RouteSettings,
  SignatureSettings,
  TransformSettings,
  UpstreamSettings,
} from '../settings.ts';
import { findAmbiguities, type Matcher } from './ambiguity.ts';
import { type ClientsRoute, needsRouteKeys, readClients } from './clients.ts';
import type { Path } from './document.ts';
import { checkEntrance, entrancesTo, type Surrounding } from './entrance.ts';
import { checkFilter, filterOf } from './filter.ts';
import { type Partly, readSection } from './issues.ts';
import { addressesGiven, authorizationGiven, checkModes, reportedOf } from './modes.ts';
import type { Report } from './problems.ts';
import { checkQuarantine, quarantineOf } from './quarantine.ts';
import { checkQueue, queueOf } from './queue.ts';
import type { RateLimitInput } from './route-schema.ts';
import { routeSchema } from './route-schema.ts';
import { readRouteSignature } from './route-signature.ts';
import type { RouteInput } from './schema.ts';
import { readTransform } from './transform.ts';
import { findUpstream } from './upstreams.ts';

/** Reads every route, each rule of it as far as what the rule needs is right. */
export function loadRoutes(
  value: unknown,
  around: Surrounding,
  report: Report,
): readonly (RouteSettings | undefined)[] {
  if (!Array.isArray(value) || value.length === 0) {
    const got =
      value === undefined
        ? 'is missing'
        : Array.isArray(value) || value === null
          ? 'is empty'
          : `expected a list, got ${report.source.show(['routes'])}`;
    report.add(['routes'], `${got}; give a list of routes with name, path and upstream`);
    return [];
  }
  const sections = value.map((given: unknown, index) =>
    readSection(routeSchema, given, ['routes', index], report),
  );
  checkNames(sections, report);
  checkAmbiguity(sections, report);
  return sections.map((section, index) =>
    loadRoute(section, Object(value[index]), ['routes', index], around, report),
  );
}

function loadRoute(
  section: Partly<RouteInput>,
  given: ClientsRoute['given'],
  path: Path,
  around: Surrounding,
  report: Report,
): RouteSettings | undefined {
  const { values } = section;
  const sender =
    values.sender === undefined ? undefined : around.senders.get(values.sender, [...path, 'sender']);
  // A profile that is not there leaves open what its addresses would have been.
  const senderKnown = section.right('sender') && (values.sender === undefined) === (sender === undefined);
  checkEntrance(section, sender, senderKnown, path, around, report);
  const needsKeys = given.clients === undefined || needsRouteKeys(given.clients);
  checkModes(section, entrancesTo(values.host, around.tls), path, report);
  const signature = senderKnown
    ? readRouteSignature(given.signature, { sender, needsKeys }, [...path, 'signature'], report)
    : undefined;
  checkQuarantine(section, signature, path, report);
  checkFilter(section, senderKnown ? sender : undefined, path, report);
  checkQueue(section, { sender: senderKnown ? sender : undefined, driver: around.driver }, path, report);
  if (
    values.body_limit !== undefined &&
    around.limits !== undefined &&
    values.body_limit > around.limits.bufferedBodies
  ) {
    report.add(
      [...path, 'body_limit'],
      `is more than limits.buffered_bodies, so no such body would ever be let in; lower it, or raise that`,
    );
  }
  const transform = readTransform(values.transform, [...path, 'transform'], report);
  const upstream =
    values.upstream === undefined
      ? undefined
      : findUpstream(values.upstream, around.upstreams, [...path, 'upstream'], report);
  const { upstreams } = around;
  const clients = readClients(
    { section, given, sender, senderKnown, signature, upstream, upstreams, limitOf: rateLimitOf },
    [...path, 'clients'],
    report,
  );
  if (upstream === undefined || around.limits === undefined) return undefined;
  const isSecret = (key: string) => report.source.isSubstituted([...path, 'headers', key]);
  return assemble(values as RouteInput, {
    sender,
    signature,
    clients,
    transform,
    upstream,
    limits: around.limits,
    isSecret,
  });
}

/** What a route is put together with. */
interface Parts {
  readonly sender: SenderProfile | undefined;
  readonly signature: SignatureSettings | undefined;
  readonly clients: ClientsSettings | undefined;
  readonly transform: TransformSettings | undefined;
  readonly upstream: UpstreamSettings;
  readonly limits: Limits;
  readonly isSecret: (header: string) => boolean;
}

/** Only used when nothing was reported, so every required key is there. */
function assemble(
  input: RouteInput,
  { sender, signature, clients, transform, upstream, limits, isSecret }: Parts,
): RouteSettings {
  const list = addressesGiven(input.addresses) ?? sender?.addresses ?? [];
  const rateLimits = input.rate_limit === undefined ? [] : [input.rate_limit].flat();
  return Object.freeze({
    name: input.name,
    path: input.path,
    host: input.host,
    headers: (input.headers ?? []).map(({ name, value, key }) => ({ name, value, secret: isSecret(key) })),
    methods: input.methods === undefined ? sender?.methods : [...new Set(input.methods)],
    sender,
    addresses: list.includes('any') ? 'any' : [...new Set(list)],
    certificate: input.certificate === 'none' ? 'none' : (input.certificate?.rule ?? ANY_CERTIFICATE),
    authorization: authorizationGiven(input.authorization),
    signature,
    clients,
    quarantine: quarantineOf(input),
    rateLimits: rateLimits.map(rateLimitOf),
    filter: filterOf(input),
    transform,
    reported: reportedOf(input),
    bodyLimit: input.body_limit ?? limits.body,
    upstream,
    upstreamPath: input.upstream_path,
    rememberMs: input.remember,
    passCredentials: input.pass_credentials,
    clientCertificateHeader: input.client_certificate_header,
    attest: input.attest && { ...input.attest.key, keyId: input.attest.key_id },
    webhookDelivery: input.webhook_delivery,
    deliver: input.deliver,
    late: input.late,
    queue: queueOf(input),
    onStateLoss: input.on_state_loss,
  });
}

const ANY_CERTIFICATE: CertificateRule = Object.freeze({
  names: undefined,
  fingerprints: undefined,
  publicKeys: undefined,
});

const WAITING = 100;

function rateLimitOf({ rate, burst, by, wait, waiting, mode }: RateLimitInput): RateLimit {
  const { count, perMs } = rate;
  return {
    count,
    perMs,
    burst: burst ?? count,
    key: by,
    waitMs: wait ?? 0,
    waiting: waiting ?? WAITING,
    mode,
  };
}

function checkNames(sections: readonly Partly<RouteInput>[], report: Report): void {
  const first = new Map<string, number>();
  for (const [index, { values }] of sections.entries()) {
    if (values.name === undefined) continue;
    const earlier = first.get(values.name);
    if (earlier === undefined) first.set(values.name, index);
    else
      report.add(
        ['routes', index, 'name'],
        `routes[${earlier}] has this name already; give each route a name of its own`,
      );
  }
}

function checkAmbiguity(sections: readonly Partly<RouteInput>[], report: Report): void {
  const matchers: Matcher[] = [];
  for (const [index, section] of sections.entries()) {
    const { path, host, headers } = section.values;
    if (path !== undefined && section.right('host', 'headers'))
      matchers.push({ index, path, host, headers: headers ?? [] });
  }
  for (const { earlier, later } of findAmbiguities(matchers)) {
    const name =
      sections[earlier]?.values.name === undefined
        ? ''
        : ` ${report.source.show(['routes', earlier, 'name'])}`;
    report.add(
      ['routes', later, 'path'],
      `can match the same request as routes[${earlier}]${name} with equal rank; tell them apart by host, path, or a header that both ask for (methods do not choose a route)`,
    );
  }
}
