import type {
  Limits,
  RateLimit,
  RouteSettings,
  SenderProfile,
  SignatureSettings,
  TransformSettings,
  UpstreamSettings,
} from '../settings.ts';
import { findAmbiguities, type Matcher } from './ambiguity.ts';
import type { Path } from './document.ts';
import { checkEntrance, type Surrounding } from './entrance.ts';
import { checkFilter, filterOf } from './filter.ts';
import { type Partly, readSection } from './issues.ts';
import { type Report, suggestion } from './problems.ts';
import { checkQuarantine, quarantineOf } from './quarantine.ts';
import { checkQueue, queueOf } from './queue.ts';
import type { RateLimitInput } from './route-schema.ts';
import { routeSchema } from './route-schema.ts';
import { readRouteSignature } from './route-signature.ts';
import type { RouteInput } from './schema.ts';
import { readTransform } from './transform.ts';

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
    loadRoute(section, signatureOf(value[index]), ['routes', index], around, report),
  );
}

function signatureOf(route: unknown): unknown {
  return typeof route === 'object' && route !== null && 'signature' in route ? route.signature : undefined;
}

function loadRoute(
  section: Partly<RouteInput>,
  givenSignature: unknown,
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
  const signature = senderKnown
    ? readRouteSignature(givenSignature, sender, [...path, 'signature'], report)
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
  const upstream = values.upstream === undefined ? undefined : around.upstreams.get(values.upstream);
  if (values.upstream !== undefined && !around.upstreams.has(values.upstream) && around.upstreams.size > 0) {
    const names = [...around.upstreams.keys()];
    report.add(
      [...path, 'upstream'],
      `there is no upstream ${report.source.show([...path, 'upstream'])}; ${suggestion(values.upstream, names)}`,
    );
  }
  if (upstream === undefined || around.limits === undefined) return undefined;
  const isSecret = (key: string) => report.source.isSubstituted([...path, 'headers', key]);
  return assemble(values as RouteInput, {
    sender,
    signature,
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
  readonly transform: TransformSettings | undefined;
  readonly upstream: UpstreamSettings;
  readonly limits: Limits;
  readonly isSecret: (header: string) => boolean;
}

/** Only used when nothing was reported, so every required key is there. */
function assemble(
  input: RouteInput,
  { sender, signature, transform, upstream, limits, isSecret }: Parts,
): RouteSettings {
  const { addresses } = input;
  const list = typeof addresses === 'string' ? [addresses] : (addresses ?? sender?.addresses ?? []);
  const rateLimits = input.rate_limit === undefined ? [] : [input.rate_limit].flat();
  return Object.freeze({
    name: input.name,
    path: input.path,
    host: input.host,
    headers: (input.headers ?? []).map(({ name, value, key }) => ({ name, value, secret: isSecret(key) })),
    methods: input.methods === undefined ? sender?.methods : [...new Set(input.methods)],
    sender,
    addresses: list.includes('any') ? 'any' : [...new Set(list)],
    certificate: input.certificate ?? { names: undefined, fingerprints: undefined, publicKeys: undefined },
    authorization: input.authorization ?? [],
    signature,
    quarantine: quarantineOf(input),
    rateLimits: rateLimits.map(rateLimitOf),
    filter: filterOf(input),
    transform,
    bodyLimit: input.body_limit ?? limits.body,
    upstream,
    upstreamPath: input.upstream_path,
    rememberMs: input.remember,
    passCredentials: input.pass_credentials,
    clientCertificateHeader: input.client_certificate_header,
    attest: input.attest && { ...input.attest.key, keyId: input.attest.key_id },
    webhookDelivery: input.webhook_delivery,
    deliver: input.deliver,
    queue: queueOf(input),
    onStateLoss: input.on_state_loss,
  });
}

function rateLimitOf({ rate, burst, by }: RateLimitInput): RateLimit {
  return { count: rate.count, perMs: rate.perMs, burst: burst ?? rate.count, key: by };
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
