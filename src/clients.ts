import type { ClientSettings } from './client-settings.ts';
import { type Fields, onlyValue } from './fields.ts';
import type { CertificateRule, RouteSettings } from './settings.ts';

/** The settings by which a known client's requests are judged and delivered: the route's, with what is the client's own. */
export function clientRoute(route: RouteSettings, client: ClientSettings): RouteSettings {
  const { signature } = route;
  return Object.freeze({
    ...route,
    upstream: client.upstream,
    upstreamPath: client.upstreamPath,
    signature: signature && client.keys ? { ...signature, keys: client.keys } : signature,
    client,
  });
}

/** All settings that a route stands for: its own, then those of its known clients. */
export function settingsOf(route: RouteSettings): readonly RouteSettings[] {
  return [route, ...(route.clients?.known ?? []).map((client) => clientRoute(route, client))];
}

/**
 * Compiles the choice of what is meant for the client that a request names. A header that is not there, or says two
 * things, or names nobody who is known, chooses the route's own.
 * @param of what is chosen among, in the order of `settingsOf`
 */
export function clientChooser<T>(route: RouteSettings, of: readonly T[]): (headers: Fields) => T {
  const [own, ...others] = of as readonly [T, ...T[]];
  if (route.clients === undefined) return () => own;
  const { header, known } = route.clients;
  const byId = new Map(known.map(({ id }, place) => [id, others[place] as T]));
  return (headers) => {
    const id = onlyValue(headers, header);
    return (id === undefined ? undefined : byId.get(id)) ?? own;
  };
}

/** The client that the gateway vouches for to the upstream: what is only reported has not been proved. */
export function vouchedClient({ client, clients, reported }: RouteSettings): string | undefined {
  if (client === undefined || clients?.mode !== 'enforce') return undefined;
  return !reported.includes('signature') || isToldByCertificate(client, clients.known)
    ? client.id
    : undefined;
}

/** Of each list of clients, found once: there may be thousands, and each must be compared with all. */
const toldApart = new WeakMap<readonly ClientSettings[], ReadonlySet<ClientSettings>>();

/**
 * Whether a client's certificate alone tells it from all others: clients with secrets of their own may share one.
 * @param client one of `known`
 */
export function isToldByCertificate(client: ClientSettings, known: readonly ClientSettings[]): boolean {
  const found = toldApart.get(known) ?? toldByCertificate(known);
  toldApart.set(known, found);
  return found.has(client);
}

function toldByCertificate(known: readonly ClientSettings[]): ReadonlySet<ClientSettings> {
  const certified = known.flatMap((client) =>
    client.certificate === undefined ? [] : [{ client, rule: client.certificate }],
  );
  const kinds = KINDS.filter((kind) => certified.some(({ rule }) => rule[kind] !== undefined));
  const [kind] = kinds;
  let isTold: (one: (typeof certified)[number]) => boolean;
  if (kind !== undefined && kinds.length === 1) {
    const holders = Map.groupBy(
      certified.flatMap(({ rule }) => [...new Set(rule[kind])]),
      (entry) => entry,
    );
    isTold = ({ rule }) => (rule[kind] ?? []).every((entry) => holders.get(entry)?.length === 1);
  } else {
    isTold = (one) =>
      certified.every((other) => other === one || overlap(other.rule, one.rule) === undefined);
  }
  return new Set(certified.filter(isTold).map(({ client }) => client));
}

const KINDS = ['names', 'fingerprints', 'publicKeys'] as const;

/**
 * Why one certificate may be on the lists of two rules; `undefined`: a list that both rules give has nothing in common.
 * Of lists of different kinds it cannot be known what their certificates hold besides.
 */
export function overlap(one: CertificateRule, other: CertificateRule): string | undefined {
  let found = 'their lists are of different kinds';
  for (const kind of KINDS) {
    const list = one[kind];
    if (list === undefined || other[kind] === undefined) continue;
    const common = other[kind].find((entry) => list.includes(entry));
    if (common === undefined) return undefined;
    found = `both list ${common}`;
  }
  return found;
}
