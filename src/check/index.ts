import type { Pulse } from '../pulse.ts';
import type { RateLimit, RouteSettings } from '../settings.ts';
import type { Check, Head, Message, SharedRates } from '../types.ts';
import { addressCheck } from './address.ts';
import { authorizationCheck } from './authorization.ts';
import { certificateCheck } from './certificate.ts';
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
  const rates = route.rateLimits.map((limit, place) => ({
    by: limit.key.by,
    check: limitCheck(route, place, surroundings),
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
