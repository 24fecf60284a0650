import { fieldCount } from './fields.ts';
import { isOneTrust, trustFinder } from './listen/trust.ts';
import { type Choosable, choosingHeaders, findRoute, routeTable } from './route/table.ts';
import type { TlsSettings } from './tls-settings.ts';
import type { Head, Refusal } from './types.ts';

const NOT_FOUND: Refusal = Object.freeze({ reason: 'route.not_found' });
const MISDIRECTED: Refusal = Object.freeze({ reason: 'request.misdirected' });

/** Compiles the finder of a request's route, or of why it has none. */
export function requestMatcher<R extends Choosable>(
  routes: readonly R[],
  tls: TlsSettings,
): (head: Head) => R | Refusal {
  const table = routeTable(routes);
  const choosing = choosingHeaders(routes);
  const misdirected = misdirection(tls);
  return (head) =>
    misdirected?.(head) ?? refuseRepeated(head, choosing) ?? findRoute(table, head) ?? NOT_FOUND;
}

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
