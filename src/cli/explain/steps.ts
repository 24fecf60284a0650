import { checksFor } from '../../check/index.ts';
import { RateTables } from '../../check/rate-tables.ts';
import { messageFilter } from '../../filter.ts';
import { recordablePath } from '../../listen/head.ts';
import { requestMatcher } from '../../match.ts';
import { METHODS, type RouteSettings, type Settings } from '../../settings.ts';
import type { Message, Refusal, Verdict } from '../../types.ts';
import type { CertificatePart, KnownPeer } from './peer.ts';

/** One check's answer. */
export interface Step {
  readonly check: string;
  readonly answer: 'passed' | 'refused' | 'not judged';
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
  const { step, route } = findRouteStep(judged);
  if (route === undefined) return { steps: [first, step], route };
  const methods = route.methods ?? METHODS;
  const steps = [first, step];
  steps.push(
    methods.includes(message.method)
      ? passed('method', message.method)
      : refused('method', { reason: 'route.method_not_allowed', detail: `let in are ${methods.join(', ')}` }),
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
    steps.push(
      found === 'wanted'
        ? passed('filter')
        : found === 'unwanted'
          ? passed('filter', 'filtered: acknowledged with 200, and not delivered')
          : refused('filter', found),
    );
  }
  return { steps, route };
}

function nothing(): void {}

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
function unjudged(
  name: string,
  { known, isStored }: Judged,
  { certificate, authorization }: RouteSettings,
): Step | undefined {
  const step = (detail: string): Step => ({ check: name, answer: 'not judged', detail });
  if (name === 'load') return step('depends on how busy the gateway and its upstream were');
  if (name.startsWith('rate')) return step('depends on what else came in at the time');
  if (name === 'authorization' && isStored && authorization.length > 0)
    return step('credentials are not kept; those that came with it held');
  if (name === 'address' && !known.knowsAddress)
    return step('the capture does not say from where it came; give --address');
  if (name !== 'certificate' || certificate === 'none') return undefined;
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
  if (verdict.secret !== undefined)
    return passed(check, `secret ${verdict.secret + 1} of ${signature?.keys.length}`);
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

function refused(check: string, { reason, detail }: Refusal, before?: string): Step {
  const details = [before, detail].filter((one) => one !== undefined);
  return { check, answer: 'refused', reason, detail: details.join(': ') || undefined };
}
