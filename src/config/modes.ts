import { latestTurnMs } from '../deadline.ts';
import type { Mode, ReportableCheck, RouteSettings } from '../settings.ts';
import type { Path } from './document.ts';
import type { Partly } from './issues.ts';
import type { Report } from './problems.ts';
import type { RouteInput } from './schema.ts';
import type { TlsEntrance } from './tls.ts';
import { word } from './values.ts';

const MODE =
  'report: what it would refuse is let in all the same, recorded in would_refuse and counted; for a roll-out.';

const modeWord = () => word(['enforce', 'report']);

/** Whether a check refuses; every check that may be in report mode has this key. */
export const mode = () => modeWord().prefault('enforce').describe(MODE);

/** The same where it makes a difference whether it is written. */
export const optionalMode = () => modeWord().optional().describe(`${MODE} Default: enforce.`);

type Addresses = RouteInput['addresses'];

/** What of the addresses is listed, in whichever form; `undefined`: the sender's count. */
export function addressesGiven(addresses: Addresses): readonly string[] | undefined {
  if (typeof addresses === 'string') return [addresses];
  const list = isModed(addresses) ? addresses.list : addresses;
  return typeof list === 'string' ? [list] : list;
}

export function authorizationGiven(authorization: RouteInput['authorization']) {
  return (isModed(authorization) ? authorization.list : authorization) ?? [];
}

function isModed<Value>(value: Value): value is Extract<Value, { mode: Mode }> {
  return typeof value === 'object' && value !== null && 'mode' in value;
}

/** The checks that a route has in report mode. */
export function reportedOf(input: Partial<RouteInput>): readonly ReportableCheck[] {
  const { addresses: address, certificate, authorization, signature, filter } = input;
  const given = { address, certificate, authorization, signature, filter };
  const names = Object.keys(given) as ReportableCheck[];
  return names.filter((name) => {
    const one: unknown = given[name];
    return isModed(one) && (one as { mode: Mode }).mode === 'report';
  });
}

/**
 * The rules of report mode that no single key can break.
 * @param entrances the handshakes after which a request may come to the route
 */
export function checkModes(
  { values, right }: Partly<RouteInput>,
  entrances: readonly TlsEntrance[],
  path: Path,
  report: Report,
): void {
  const reported = reportedOf(values);
  if (reported.includes('address') && addressesGiven(values.addresses)?.includes('any')) {
    report.add(
      [...path, 'addresses', 'mode'],
      'any lets in everybody, so there is nothing to report; list the addresses that shall be let in, or write "addresses: any"',
    );
  }
  const { certificate } = values;
  if (
    reported.includes('certificate') &&
    certificate !== 'none' &&
    certificate?.asks === 'any' &&
    entrances.length > 0 &&
    entrances.every(({ clientCertificate }) => clientCertificate === 'required')
  ) {
    report.add(
      [...path, 'certificate', 'mode'],
      'the handshake requires a certificate and refuses before there is anything to report; write "client_certificate: optional" under tls, or give names, fingerprints or public_keys to report on',
    );
  }
  if (!right('rate_limit')) return;
  const limits = values.rate_limit === undefined ? [] : [values.rate_limit].flat();
  for (const [place, { mode: limitMode, wait, waiting }] of limits.entries()) {
    const where = [...path, 'rate_limit', ...(Array.isArray(values.rate_limit) ? [place] : [])];
    if (wait !== undefined && limitMode === 'report')
      report.add(
        [...where, 'wait'],
        'a limit in report mode makes nobody wait; remove it, or write "mode: enforce"',
        'key',
      );
    if (wait === undefined && waiting !== undefined)
      report.add([...where, 'waiting'], 'has no effect without wait; write that too, or remove this', 'key');
  }
}

/** Whether each of these is in report mode, for people: `certificate`, `rate by address`. */
export function reportedNames({ reported, clients, rateLimits }: RouteSettings): readonly string[] {
  const rates = rateLimits.filter((limit) => limit.mode === 'report').map(({ key }) => `rate by ${key.by}`);
  return [...reported, ...(clients?.mode === 'report' ? ['client'] : []), ...rates];
}

const LETS_IN: Readonly<Record<ReportableCheck, string>> = {
  address: 'addresses: mode report lets in every address',
  certificate: 'certificate: mode report lets in who has no certificate, or one that is not listed',
  authorization: 'authorization: mode report lets in who presents no credential, or a wrong one',
  signature:
    'signature: mode report lets in what is not signed, or wrongly, and delivers such events as often as they come',
  filter: 'filter: mode report delivers every event',
};

/** One sentence a check: what is not enforced. */
export function modeWarnings({ reported, rateLimits }: RouteSettings): readonly string[] {
  const limits = rateLimits.flatMap((limit) =>
    limit.mode === 'report' ? [`rate_limit: mode report lets in any rate by ${limit.key.by}`] : [],
  );
  return [...reported.map((name) => LETS_IN[name]), ...limits].map(
    (sentence) => `${sentence}; write "mode: enforce" once would_refuse names nothing that shall pass`,
  );
}

/** Waits that nobody is given, since the sender would not wait for what comes after them. */
export function waitWarnings({ rateLimits, sender }: RouteSettings): readonly string[] {
  const latestMs = latestTurnMs(sender);
  return rateLimits
    .filter(({ waitMs }) => waitMs > latestMs)
    .map(
      ({ waitMs }) =>
        `rate_limit.wait: ${waitMs / 1000}s is more than the ${latestMs / 1000}s in which a turn must come, half of what ${sender?.name} waits for its answer; make it shorter`,
    );
}
