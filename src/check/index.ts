import type { Pulse } from '../pulse.ts';
import type { RouteSettings } from '../settings.ts';
import type { Check, Head, Message } from '../types.ts';
import { addressCheck } from './address.ts';
import { authorizationCheck } from './authorization.ts';
import { certificateCheck } from './certificate.ts';
import { type Destination, loadCheck } from './load.ts';
import { rateCheck } from './rate.ts';
import type { RateTables } from './rate-tables.ts';
import { signatureCheck } from './signature.ts';

/** A route's checks; the order of each list is the order in which they run, cheapest and most telling first. */
export interface Checks {
  readonly head: readonly Check<Head>[];
  readonly message: readonly Check<Message>[];
}

/** What a route does not configure is not in its lists: nothing is decided per request that is known at load. */
export function checksFor(
  route: RouteSettings,
  { rates: tables, pulse, destination }: { rates: RateTables; pulse: Pulse; destination: Destination },
): Checks {
  const { addresses, certificate, authorization, signature } = route;
  const rates = route.rateLimits.map((limit, place) => ({
    by: limit.key.by,
    check: rateCheck(limit, tables.take(route.name, place, limit)),
  }));
  const byAddress = rates.filter(({ by }) => by === 'address').map(({ check }) => check);
  const otherRates = rates.filter(({ by }) => by !== 'address').map(({ check }) => check);
  // Where only the signature proves who sends, a stranger must not be able to use up the limit of those who can sign.
  const ratesLast = signature !== undefined && certificate === 'none' && authorization.length === 0;
  return {
    head: [
      loadCheck(pulse, destination),
      ...(addresses === 'any' ? [] : [addressCheck(addresses)]),
      ...(certificate === 'none' ? [] : [certificateCheck(certificate)]),
      ...byAddress,
      authorizationCheck(authorization),
      ...(ratesLast ? [] : otherRates),
    ],
    message: [
      ...(signature === undefined ? [] : [signatureCheck(signature)]),
      ...(ratesLast ? otherRates : []),
    ],
  };
}
