import { checksFor } from '../../check/index.ts';
import { RateTables } from '../../check/rate-tables.ts';
import { type Filtered, messageFilter } from '../../filter.ts';
import { recordablePath } from '../../listen/head.ts';
import { requestMatcher } from '../../match.ts';
import { type CertificateRule, METHODS, type RouteSettings, type Settings } from '../../settings.ts';
import type { Message, Refusal, Verdict } from '../../types.ts';
import { clientStep } from './client.ts';
import type { CertificatePart, KnownPeer } from './peer.ts';

/** One check's answer. */
export interface Step {
  readonly check: string;
  readonly answer: 'passed' | 'refused' | 'would refuse' | 'not judged';
  readonly reason?: string | undefined;
  readonly detail?: string | undefined;
}

/** A captured request with all that is known around it. */
export interface Judged {
  readonly message: Message;
  /** What is wrong with its target. */
  readonly refusal: Refusal | undefined;
  readonly known: KnownPeer;
  readonly settings: Settings;
  /** The route by name; `undefined`: the one that the gateway would find. */
  readonly routeName: string | undefined;
  /** It is an event of the state: the route is the one that took it, and the credentials that came with it were not kept. */
  readonly isStored: boolean;
}

/** The steps of a request in the order of the gateway, and the route they ended at. */
export interface Walk {
  readonly steps: readonly Step[];
  readonly route: RouteSettings | undefined;
}

/** Asks every check, also those behind one that refuses: an operator wants to mend all of it at once. */
export async function walk(judged: Judged): Promise<Walk> {
  const { message, refusal } = judged;
  const target = `${message.method} ${recordablePath(message)}`;
  const first: Step = refusal === undefined ? passed('request', target) : refused('request', refusal, target);
  const { step, route: found } = findRouteStep(judged);
  if (found === undefined) return { steps: [first, step], route: found };
  const { steps: clientSteps, route } = clientStep(found, message);
  const methods = route.methods ?? METHODS;
  const steps = [first, step];
  steps.push(
    methods.includes(message.method)
      ? passed('method', message.method)
      : refused('method', { reason: 'route.method_not_allowed', detail: `let in are ${methods.join(', ')}` }),
    ...clientSteps,
  );
  // The gateway's own, compiled by its own code; what the state of a gateway decides stands still.
  const checks = checksFor(route, {
    rates: new RateTables(),
    pulse: {
      busyAfterMs: Number.POSITIVE_INFINITY,
      limitMs: 0,
      delayMs: () => 0,
      restart: nothing,
      close: nothing,
    },
    destination: { full: undefined },
    shared: undefined,
    fellBack: nothing,
  });
  for (const { name, examine } of checks.head)
    steps.push(unjudged(name, judged, route) ?? stepOf(name, await examine(message), route));
  steps.push(bodyStep(message.body.length, route.bodyLimit));
  for (const { name, examine } of checks.message)
    steps.push(unjudged(name, judged, route) ?? stepOf(name, await examine(message), route));
  if (route.filter !== undefined) {
    const found = messageFilter(route.filter, route.sender)(message.body);
    steps.push(filterStep(found, route.reported.includes('filter')));
  }
  return { steps, route };
}

function nothing(): void {}

function filterStep(found: Filtered, isReported: boolean): Step {
  if (found === 'wanted') return passed('filter');
  if (found !== 'unwanted') return isReported ? wouldRefuse('filter', found) : refused('filter', found);
  return isReported
    ? { check: 'filter', answer: 'would refuse', reason: 'filter.unwanted', detail: REPORTS }
    : passed('filter', 'filtered: acknowledged with 200, and not delivered');
}

function findRouteStep({ message, settings, routeName, isStored }: Judged): {
  step: Step;
  route: RouteSettings | undefined;
} {
  const found = requestMatcher(settings.routes, settings.tls)(message);
  const chosen = 'reason' in found ? undefined : found;
  if (routeName === undefined) {
    return {
      step: 'reason' in found ? refused('route', found) : passed('route', found.name),
      route: chosen,
    };
  }
  const named = settings.routes.find(({ name }) => name === routeName);
  if (chosen === named) return { step: passed('route', routeName), route: named };
  const would = 'reason' in found ? `refuse it: ${found.reason}` : `choose ${found.name}`;
  const detail = `${routeName}, ${isStored ? 'which took it' : 'as --route says'}; by itself the gateway would ${would}`;
  return { step: { check: 'route', answer: 'not judged', detail }, route: named };
}

/** A check whose facts are missing, or are those of a running gateway. */
function unjudged(name: string, { known, isStored }: Judged, route: RouteSettings): Step | undefined {
  const step = (detail: string): Step => ({ check: name, answer: 'not judged', detail });
  if (name === 'room') return step('depends on how busy its upstream was');
  if (name === 'load') return step('depends on how busy the gateway and its upstream were');
  if (name.startsWith('rate'))
    return step(`depends on what else came in at the time${waitText(name, route)}`);
  if (name === 'authorization' && isStored && route.authorization.length > 0)
    return step('credentials are not kept; those that came with it held');
  if (name === 'address' && !known.knowsAddress)
    return step('the capture does not say from where it came; give --address');
  const certificate = name === 'client' ? clientRule(route) : route.certificate;
  if ((name !== 'certificate' && name !== 'client') || certificate === 'none') return undefined;
  const parts = known.knowsOfCertificate;
  if (!parts.has('presence'))
    return step('the capture holds no client certificate; give --certificate FILE.pem or --no-certificate');
  if (known.peer.certificate === undefined) return undefined;
  const lists: readonly CertificatePart[] = ['names', 'fingerprints', 'publicKeys'];
  const lacking = lists.find(
    (part) => part !== 'presence' && isListed(certificate, part) && !parts.has(part),
  );
  return lacking === undefined
    ? undefined
    : step(`the capture does not say the certificate's ${LACKING[lacking]}; give --certificate FILE.pem`);
}

/** What of a certificate the check of the client asks for. */
function clientRule({ client, clients }: RouteSettings): RouteSettings['certificate'] {
  if (client !== undefined) return client.certificate ?? 'none';
  const rules = clients?.unknown === 'allow' ? clients.known.flatMap((one) => one.certificate ?? []) : [];
  const all = (part: keyof CertificateRule): readonly string[] | undefined =>
    rules.some((rule) => rule[part] !== undefined) ? [] : undefined;
  if (rules.length === 0) return 'none';
  return { names: all('names'), fingerprints: all('fingerprints'), publicKeys: all('publicKeys') };
}

function waitText(name: string, { rateLimits }: RouteSettings): string {
  const limits = rateLimits.filter(({ key }) => name === `rate by ${key.by}`);
  const longestMs = Math.max(...limits.map(({ waitMs }) => waitMs));
  const waits = longestMs > 0 ? `; over the rate it waits up to ${longestMs / 1000} s for its turn` : '';
  return limits.some(({ mode }) => mode === 'report') ? `${waits}; ${REPORTS}` : waits;
}

const REPORTS = 'in report mode, so it goes on';

const LACKING = { names: 'names', fingerprints: 'fingerprint', publicKeys: 'public key', presence: '' };

function isListed(rule: Exclude<RouteSettings['certificate'], 'none'>, part: CertificatePart): boolean {
  return part !== 'presence' && rule[part] !== undefined;
}

function stepOf(
  check: string,
  verdict: Verdict,
  { signature, authorization, addresses }: RouteSettings,
): Step {
  if (verdict.reason !== undefined) return refused(check, verdict);
  if (verdict.wouldRefuse !== undefined) return wouldRefuse(check, verdict.wouldRefuse);
  if (verdict.secret !== undefined) {
    const from = signature?.keys[verdict.secret]?.from;
    const file = from === undefined ? '' : ` (${from})`;
    return passed(check, `secret ${verdict.secret + 1} of ${signature?.keys.length}${file}`);
  }
  if (check === 'authorization' && authorization.length === 0) return passed(check, 'none is asked for');
  return passed(check, check === 'address' && addresses !== 'any' ? 'listed' : undefined);
}

function bodyStep(bytes: number, limitBytes: number): Step {
  const detail = `${bytes} bytes of at most ${limitBytes}`;
  return bytes > limitBytes ? refused('body', { reason: 'body.too_large', detail }) : passed('body', detail);
}

function passed(check: string, detail?: string): Step {
  return { check, answer: 'passed', detail };
}

function wouldRefuse(check: string, refusal: Refusal): Step {
  return { ...refused(check, refusal, REPORTS), answer: 'would refuse' };
}

function refused(check: string, { reason, detail }: Refusal, before?: string): Step {
  const details = [before, detail].filter((one) => one !== undefined);
  return { check, answer: 'refused', reason, detail: details.join(': ') || undefined };
}
