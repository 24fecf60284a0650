import { isToldByCertificate } from '../clients.ts';
import { latestTurnMs } from '../deadline.ts';
import { laneOf } from '../lane.ts';
import { provingChecks } from '../proof.ts';
import type { Pulse } from '../pulse.ts';
import type { RateLimit, RouteSettings } from '../settings.ts';
import type { SharedRates } from '../store-types.ts';
import type { Check, Head, Message } from '../types.ts';
import { addressCheck } from './address.ts';
import { authorizationCheck, examineSyntax } from './authorization.ts';
import { certificateCheck, examineTrust } from './certificate.ts';
import { clientChecks } from './client.ts';
import { clientSignature } from './client-signature.ts';
import { type Destination, loadCheck, roomCheck } from './load.ts';
import { rateCheck } from './rate.ts';
import { limitName, type RateTables } from './rate-tables.ts';
import { reported } from './report.ts';
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
  const { addresses, certificate, authorization, signature, reported: inReport } = route;
  const { pulse, destination } = surroundings;
  const { byAddress, others: otherRates } = limitChecks(route, surroundings);
  // Where only the signature proves who sends, a stranger must not be able to use up the limit of those who can sign.
  // What is only reported proves nothing.
  const proving = provingChecks(route);
  const isProvedLast = proving.length === 1 && proving[0] === 'signature';
  // And no client that of another: its limits count only what is proved to be its own.
  const ratesLast = isProvedLast || (proving.includes('signature') && isProvedBySignature(route));
  const client = clientChecks(route);
  const [early, late] = [ratesLast ? [] : otherRates, ratesLast ? otherRates : []];
  const inTurn = (rates: readonly Check<Head>[]): readonly Check<Head>[] =>
    route.client === undefined ? [...rates, ...client] : [...client, ...rates];
  // Clients have upstreams of their own: a full one must not tell a stranger which of them there are.
  const isHidden = isProvedLast && route.clients !== undefined;
  const address = addresses === 'any' ? undefined : addressCheck(addresses);
  const names = certificate === 'none' ? undefined : certificateCheck(certificate);
  const credentials = authorizationCheck(authorization);
  const signed = signature && signatureCheck(signature);
  return {
    head: [
      isHidden ? loadCheck(pulse) : loadCheck(pulse, destination),
      ...listed(address && (inReport.includes('address') ? reported(address) : address)),
      ...listed(names && (inReport.includes('certificate') ? reported(names, examineTrust) : names)),
      ...byAddress,
      inReport.includes('authorization') ? reported(credentials, examineSyntax) : credentials,
      // A stranger learns from no answer which clients there are.
      ...(isProvedLast ? [] : inTurn(early)),
    ],
    message: [
      ...listed(signed && clientSignature(inReport.includes('signature') ? reported(signed) : signed, route)),
      ...(isHidden ? [roomCheck(destination)] : []),
      ...(isProvedLast ? inTurn(late) : late),
    ],
  };
}

function listed<Item>(item: Item | undefined): readonly Item[] {
  return item === undefined ? [] : [item];
}

/** Whether nothing but its signature tells a client from the others. */
function isProvedBySignature({ client, clients }: RouteSettings): boolean {
  return client !== undefined && clients !== undefined && !isToldByCertificate(client, clients.known);
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

function limitCheck(route: RouteSettings, place: number, surroundings: Surroundings): Check<Head> {
  const limit = route.rateLimits[place] as RateLimit;
  const check = countingCheck(route, place, limit, surroundings);
  return limit.mode === 'report' ? reported(check) : check;
}

function countingCheck(
  { name, sender, onStateLoss }: RouteSettings,
  place: number,
  limit: RateLimit,
  { rates, shared, fellBack }: Surroundings,
): Check<Head> {
  const count = rates.take(name, place, limit);
  const latestMs = latestTurnMs(sender);
  const own = rateCheck(limit, count, latestMs);
  if (shared === undefined) return own;
  return sharedRateCheck(limit, {
    rates: shared,
    name: limitName(name, place, limit),
    line: count.line,
    latestMs,
    lost: (head, { message }) => {
      if (onStateLoss === 'refuse') return { reason: 'state.unavailable', detail: message };
      fellBack();
      return own.examine(head);
    },
  });
}
