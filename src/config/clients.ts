import type { ClientSettings, ClientsSettings } from '../client-settings.ts';
import type { SenderProfile } from '../sender-profile.ts';
import type { RateLimit, SignatureSettings, UpstreamSettings } from '../settings.ts';
import type { SignatureKey } from '../signature-settings.ts';
import { checkClients, type Known } from './client-rules.ts';
import type { Path } from './document.ts';
import { type Partly, readInner } from './issues.ts';
import type { Report } from './problems.ts';
import { clientSchema, clientsSchema, type RateLimitInput } from './route-schema.ts';
import { keyKindOf, readKeys } from './route-signature.ts';
import { isMapping, type RouteInput } from './schema.ts';
import { findUpstream } from './upstreams.ts';

/** The route around its clients, as far as it is right. */
export interface ClientsRoute {
  readonly section: Partly<RouteInput>;
  /** As they are written; mistakes in a single key were reported with the route. */
  readonly given: { readonly clients?: unknown; readonly signature?: unknown };
  readonly sender: SenderProfile | undefined;
  readonly senderKnown: boolean;
  readonly signature: SignatureSettings | undefined;
  readonly upstream: UpstreamSettings | undefined;
  readonly upstreams: ReadonlyMap<string, UpstreamSettings | undefined>;
  readonly limitOf: (input: RateLimitInput) => RateLimit;
}

type Given = Readonly<Record<string, unknown>>;

/** Whether anybody signs by the keys of the route itself: clients without their own, and those that are not known. */
export function needsRouteKeys(clients: unknown): boolean {
  const { unknown } = readInner(clientsSchema, clients).values;
  return unknown === 'allow' || knownIn(clients).some((client) => isMapping(client) && !hasKeys(client));
}

/**
 * Reads a route's clients, and judges them together.
 * @returns `undefined` where there are none
 */
export function readClients(route: ClientsRoute, path: Path, report: Report): ClientsSettings | undefined {
  const { given, section, sender } = route;
  // What is no mapping was reported with the route.
  if (!isMapping(given.clients)) return undefined;
  const { values, right } = readInner(clientsSchema, given.clients);
  const known = knownIn(given.clients).map((client, index) =>
    readClient(client, route, [...path, 'known', index], report),
  );
  const header = values.header ?? sender?.clientHeader;
  const headerKnown = route.senderKnown && right('header');
  checkClients(known, { ...route, header, headerKnown, input: section.values }, path, report);
  return {
    header: header ?? '',
    unknown: values.unknown ?? 'refuse',
    mode: values.mode ?? 'enforce',
    // Only used when nothing was reported, so each of them is whole.
    known: known.map(({ settings }) => settings),
    routeKeys: route.signature?.keys ?? [],
  };
}

function readClient(client: unknown, route: ClientsRoute, path: Path, report: Report): Known {
  const given = Object(client) as Given;
  const section = readInner(clientSchema, given);
  const { values } = section;
  const upstream =
    values.upstream === undefined
      ? route.upstream
      : findUpstream(values.upstream, route.upstreams, [...path, 'upstream'], report);
  const limits = values.rate_limit === undefined ? undefined : [values.rate_limit].flat();
  const settings: ClientSettings = {
    id: values.id ?? '',
    keys: keysOf(given, route, path, report),
    certificate: values.certificate,
    upstream: upstream as UpstreamSettings,
    upstreamPath: values.upstream_path ?? route.section.values.upstream_path,
    rateLimits: limits?.map(route.limitOf),
  };
  // Of what is no mapping nothing more need be said.
  const isBound = !isMapping(client) || hasKeys(given) || given.certificate !== undefined;
  return { settings, isBound, isRight: section.right };
}

/** @returns `undefined` where the client has none of its own, or they are wrong */
function keysOf(
  given: Given,
  { given: { signature }, sender, senderKnown }: ClientsRoute,
  path: Path,
  report: Report,
): readonly SignatureKey[] | undefined {
  if (!hasKeys(given)) return undefined;
  if (signature === undefined) {
    const key = given.secrets === undefined ? 'public_keys' : 'secrets';
    const advice = 'write "signature: {}" at the route (the scheme of its sender), or remove them';
    report.add([...path, key], `the route has no signature that they could be of; ${advice}`, 'key');
    return undefined;
  }
  const kind = senderKnown ? keyKindOf(signature, sender) : undefined;
  const keys = kind && readKeys(kind, given, false, path, report);
  return keys === undefined || keys.length === 0 ? undefined : keys;
}

function hasKeys(client: unknown): boolean {
  const { secrets, public_keys: publicKeys } = Object(client) as Given;
  return secrets !== undefined || publicKeys !== undefined;
}

function knownIn(clients: unknown): readonly unknown[] {
  const { known } = Object(clients) as Given;
  return Array.isArray(known) ? known : [];
}
