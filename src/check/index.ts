import { laneOf } from '../lane.ts';
import type { Pulse } from '../pulse.ts';
import type { RateLimit, RouteSettings } from '../settings.ts';
import type { Check, Head, Message, SharedRates } from '../types.ts';
import { addressCheck } from './address.ts';
import { authorizationCheck } from './authorization.ts';
import { certificateCheck } from './certificate.ts';
import { clientChecks } from './client.ts';
import { clientSignature } from './client-signature.ts';
import { type Destination, loadCheck } from './load.ts';
import { rateCheck } from './rate.ts';
import type { RateTables } from './rate-tables.ts';
import { sharedRateCheck } from './shared-rate.ts';
import { signatureCheck } from './signature.ts';

/** A route's checks; the order of each list is the order in which they run, cheapest and most telling first. */
export interface Checks {
  readonly head: readonly Check<Head>[];
  readonly message: readonly Check<Message>[];
}

export interface Surroundings {
  readonly rates: RateTables;
  readonly pulse: Pulse;
  readonly destination: Destination;
  /** Rates that are counted together with other gateways; `undefined`: each counts for itself. */
  readonly shared: SharedRates | undefined;
  /** Told of each request that went by this process's own count, since the shared one was out of reach. */
  readonly fellBack: () => void;
}

/** What a route does not configure is not in its lists: nothing is decided per request that is known at load. */
export function checksFor(route: RouteSettings, surroundings: Surroundings): Checks {
  const { addresses, certificate, authorization, signature } = route;
  const { pulse, destination } = surroundings;
  const { byAddress, others: otherRates } = limitChecks(route, surroundings);
  // Where only the signature proves who sends, a stranger must not be able to use up the limit of those who can sign.
  const isProvedLast = signature !== undefined && certificate === 'none' && authorization.length === 0;
  // And no client that of another: its limits count only what is proved to be its own.
  const ratesLast = isProvedLast || (signature !== undefined && isProvedBySignature(route));
  const client = clientChecks(route);
  const [early, late] = [ratesLast ? [] : otherRates, ratesLast ? otherRates : []];
  const inTurn = (rates: readonly Check<Head>[]): readonly Check<Head>[] =>
    route.client === undefined ? [...rates, ...client] : [...client, ...rates];
  return {
    head: [
      loadCheck(pulse, destination),
      ...(addresses === 'any' ? [] : [addressCheck(addresses)]),
      ...(certificate === 'none' ? [] : [certificateCheck(certificate)]),
      ...byAddress,
      authorizationCheck(authorization),
      // A stranger learns from no answer which clients there are.
      ...(isProvedLast ? [] : inTurn(early)),
    ],
    message: [
      ...(signature === undefined ? [] : [clientSignature(signatureCheck(signature), route)]),
      ...(isProvedLast ? inTurn(late) : late),
    ],
  };
}

/** Whether nothing but its signature tells a client from the others. */
function isProvedBySignature({ client }: RouteSettings): boolean {
  return client !== undefined && client.certificate === undefined;
}

/**
 * Limits by address are asked before anybody has proved anything, so they count all of a route together: who names one
 * client after the other has no more of them. All others are counted for each client.
 */
function limitChecks(
  route: RouteSettings,
  surroundings: Surroundings,
): Record<'byAddress' | 'others', readonly Check<Head>[]> {
  const { name, client } = route;
  const isEarly = (limit: RateLimit): boolean => limit.key.by === 'address';
  const checks = (of: RouteSettings, isAsked: (limit: RateLimit) => boolean): readonly Check<Head>[] =>
    of.rateLimits.flatMap((limit, place) => (isAsked(limit) ? [limitCheck(of, place, surroundings)] : []));
  const own = client && {
    ...route,
    name: laneOf(name, client.id),
    rateLimits: client.rateLimits ?? route.rateLimits,
  };
  return {
    byAddress: checks(route, isEarly),
    others: checks(own ?? route, (limit) => !isEarly(limit) || client?.rateLimits !== undefined),
  };
}

function limitCheck(
  { name, rateLimits, onStateLoss }: RouteSettings,
  place: number,
  { rates, shared, fellBack }: Surroundings,
): Check<Head> {
  const limit = rateLimits[place] as RateLimit;
  const own = rateCheck(limit, rates.take(name, place, limit));
  if (shared === undefined) return own;
  return sharedRateCheck(limit, {
    rates: shared,
    name: JSON.stringify([name, place, limit]),
    lost: (head, { message }) => {
      if (onStateLoss === 'refuse') return { reason: 'state.unavailable', detail: message };
      fellBack();
      return own.examine(head);
    },
  });
}
