import { signatureCheck } from '../../check/signature.ts';
import { settingsOf } from '../../clients.ts';
import { laneOf } from '../../lane.ts';
import type { SenderProfile } from '../../sender-profile.ts';
import type { RouteSettings, SignatureSettings } from '../../settings.ts';
import type { Message, Verdict } from '../../types.ts';
import { isoTime } from '../events/time.ts';
import { type BodyVariant, bodyVariants } from './body-variants.ts';
import { type Finding, formFindings, nothingHolds, timeFindings } from './findings.ts';
import { holds } from './holds.ts';
import { type PresentedHeaders, presentedHeaders, signatureHeaders, signedAtMs } from './presented.ts';
import { ruleVariants } from './rule-variants.ts';

/** What is known of a failed signature; never a secret, and never what one could be found by. */
export interface SignatureReport {
  readonly scheme: SignatureSettings['scheme'];
  readonly headers: PresentedHeaders;
  readonly secretsTried: number;
  readonly signedAt: string | undefined;
  /** How much later than it was signed the message came; negative: earlier. `undefined`: one of both is not known. */
  readonly skewSeconds: number | undefined;
  readonly toleranceSeconds: number | undefined;
  /** How many other readings of the message were tried. */
  readonly variants: number;
  readonly findings: readonly Finding[];
}

/** What a signature is judged by, and what else it may be of. */
export interface SignatureFacts {
  readonly message: Message;
  /** When the message came is not known: its age is not judged. */
  readonly knowsTime: boolean;
  readonly route: RouteSettings & { readonly signature: SignatureSettings };
  readonly routes: readonly RouteSettings[];
  readonly senders: readonly SenderProfile[];
}

/** Finds out why a signature fails; `undefined`: it does not. */
export function explainSignature(facts: SignatureFacts): SignatureReport | undefined {
  const { message, knowsTime, route } = facts;
  const rule = route.signature;
  const verdict = signatureCheck(rule).examine(message) as Verdict;
  if (verdict.reason === undefined) return undefined;
  const signedMs = signedAtMs(rule, message);
  const skewMs = knowsTime && signedMs !== undefined ? message.epochMs - signedMs : undefined;
  const headers = presentedHeaders(rule, message.headers);
  const isHeld = holds(rule, message);
  const tried = isHeld ? { findings: [], variants: 0 } : tryVariants(facts);
  const findings = [...formFindings(verdict, message, route, headers), ...tried.findings];
  if (findings.length === 0 && !isHeld) findings.push(nothingHolds(tried.variants, rule));
  findings.push(...timeFindings(verdict, skewMs, isHeld, rule));
  return {
    scheme: rule.scheme,
    headers,
    secretsTried: verdict.reason === 'signature.missing' ? 0 : rule.keys.length,
    signedAt: signedMs === undefined ? undefined : isoTime(signedMs),
    skewSeconds: skewMs === undefined ? undefined : Math.round(skewMs / 1000),
    toleranceSeconds: signedMs !== undefined && 'toleranceMs' in rule ? rule.toleranceMs / 1000 : undefined,
    variants: tried.variants,
    findings,
  };
}

/** Another reading of a message. */
interface Reading {
  readonly rule: SignatureSettings;
  readonly message: Message;
  readonly finding: Finding;
}

function tryVariants(facts: SignatureFacts): { findings: Finding[]; variants: number } {
  const { message, route, senders } = facts;
  const bodies = route.signature.scheme === 'token' ? [] : bodyVariants(message.body);
  const findings: Finding[] = [];
  let variants = 0;
  const attempt = ({ rule, message: of, finding }: Reading): void => {
    variants += 1;
    // Of several spellings of one mistake the first will do.
    if (findings.some(({ kind, route: other }) => kind === finding.kind && other === finding.route)) return;
    if (holds(rule, of)) findings.push(finding);
  };
  const others = otherRules(facts);
  for (const { kind, sentence, body } of bodies)
    attempt({
      rule: route.signature,
      message: { ...message, body },
      finding: { kind: `body.${kind}`, sentence: `The signature holds for the body ${sentence}` },
    });
  for (const reading of others) attempt(reading);
  if (findings.length === 0 && others.length * bodies.length * message.body.length <= MOST_PAIRED_BYTES)
    for (const reading of others) for (const body of bodies) attempt(both(reading, body));
  for (const { name, signature } of senders) foreign(name, signature);
  return { findings, variants };

  /** Another sender's headers, and whether this route's secret is good for them. */
  function foreign(name: string, other: SenderProfile['signature']): void {
    const rule = route.signature;
    if (other === undefined) return;
    const own = signatureHeaders(rule);
    const there = signatureHeaders(other).find(
      (header) =>
        !own.includes(header) && message.headers.some((text, place) => place % 2 === 0 && text === header),
    );
    if (there === undefined || findings.some(({ kind }) => kind === `headers.${there}`)) return;
    variants += 1;
    const isHeld = holds({ ...other, keys: rule.keys }, message);
    findings.push({
      kind: `headers.${there}`,
      sentence: `The request carries ${there}, as ${name} signs, and this route expects ${own.join(' or ')}${isHeld ? "; by that sender's scheme it holds with this route's secret" : ''}: write sender: ${name} at the route, or send to the route of that sender.`,
    });
  }
}

/** Where every pair of a body and a rule is tried, so much is hashed at most: about a second. */
const MOST_PAIRED_BYTES = 512 * 1024 * 1024;

/** The message under other rules, and other routes' secrets. */
function otherRules({ message, route, routes }: SignatureFacts): Reading[] {
  const readings: Reading[] = [];
  for (const { kind, sentence, rule, message: of } of ruleVariants(route.signature, message))
    readings.push({ rule, message: of, finding: { kind, sentence: `The signature holds ${sentence}` } });
  for (const { name, client, signature } of routes.flatMap(settingsOf)) {
    if (signature === undefined || (name === route.name && client?.id === route.client?.id)) continue;
    if (name === route.name) {
      readings.push({ rule: signature, message, finding: ofClient(name, client?.id) });
      continue;
    }
    const finding = { kind: 'secret.route', route: laneOf(name, client?.id) };
    readings.push({
      rule: { ...route.signature, keys: signature.keys },
      message,
      finding: {
        ...finding,
        sentence: `The signature holds by a secret of the route ${name}: have the sender use the secret of this route, or send to that one.`,
      },
    });
    readings.push({
      rule: signature,
      message,
      finding: {
        ...finding,
        sentence: `The signature holds by the scheme and a secret of the route ${name}: have the sender send to that one, or give this route the same signature.`,
      },
    });
  }
  return readings;
}

function both({ rule, message, finding }: Reading, { kind, sentence, body }: BodyVariant): Reading {
  return {
    rule,
    message: { ...message, body },
    finding: {
      ...finding,
      kind: `${finding.kind}+body.${kind}`,
      sentence: `Two things at once. ${finding.sentence} And only for the body ${sentence}`,
    },
  };
}

/** Somebody else of the same route has signed. */
function ofClient(route: string, client: string | undefined): Finding {
  const whose = client === undefined ? 'the route itself' : `the client ${client}`;
  return {
    kind: 'secret.client',
    route: laneOf(route, client),
    sentence: `The signature holds by a secret of ${whose}: have the sender name the right client in the header, or sign by this one's own secret.`,
  };
}
