import { signatureCheck } from '../../check/signature.ts';
import type { RouteSettings, SenderProfile, SignatureSettings } from '../../settings.ts';
import type { Message, Refusal, Verdict } from '../../types.ts';
import { isoTime } from '../events/time.ts';
import { bodyVariants } from './body-variants.ts';
import { holds } from './holds.ts';
import { type PresentedHeaders, presentedHeaders, signatureHeaders, signedAtMs } from './presented.ts';
import { ruleVariants } from './rule-variants.ts';

/** One thing found out about a signature, in one sentence that says what to do. */
export interface Finding {
  readonly kind: string;
  readonly sentence: string;
  /** The other route whose secret it is. */
  readonly route?: string;
}

/** What is known of a failed signature; never a secret, and never what one could be found by. */
export interface SignatureReport {
  readonly scheme: SignatureSettings['scheme'];
  readonly headers: PresentedHeaders;
  readonly secrets: number;
  readonly signedAt: string | undefined;
  /** How much later than it was signed the message came; negative: earlier. `undefined`: one of both is not known. */
  readonly skewSeconds: number | undefined;
  readonly toleranceSeconds: number | undefined;
  /** How many other readings of the message were tried. */
  readonly variants: number;
  readonly findings: readonly Finding[];
}

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
  const findings = [
    ...formFindings(verdict, facts, headers),
    ...timeFindings(verdict, skewMs, isHeld, rule),
    ...tried.findings,
  ];
  if (findings.length === 0) findings.push(nothingHolds(tried.variants, rule));
  return {
    scheme: rule.scheme,
    headers,
    secrets: rule.keys.length,
    signedAt: signedMs === undefined ? undefined : isoTime(signedMs),
    skewSeconds: skewMs === undefined ? undefined : Math.round(skewMs / 1000),
    toleranceSeconds: 'toleranceMs' in rule ? rule.toleranceMs / 1000 : undefined,
    variants: tried.variants,
    findings,
  };
}

function timeFindings(
  { reason }: Verdict,
  skewMs: number | undefined,
  isHeld: boolean,
  rule: SignatureSettings,
): Finding[] {
  if ((reason !== 'signature.stale' && reason !== 'signature.early') || skewMs === undefined) return [];
  const seconds = Math.abs(Math.round(skewMs / 1000));
  const allowed = 'toleranceMs' in rule ? rule.toleranceMs / 1000 : 0;
  const [when, todo] =
    skewMs > 0
      ? [
          'before it came',
          'find what held it back, a proxy or a replay, or set the clocks of both sides by NTP',
        ]
      : ['after it came', 'set the clocks of both sides by NTP'];
  return [
    {
      kind: skewMs > 0 ? 'time.stale' : 'time.early',
      sentence: `${isHeld ? 'The signature holds but for its time' : 'Besides, its time is wrong'}: it was signed ${seconds} s ${when}, and ${allowed} s are allowed; ${todo}.`,
    },
  ];
}

/** What the headers themselves tell. */
function formFindings(
  verdict: Refusal | Verdict,
  facts: SignatureFacts,
  headers: PresentedHeaders,
): Finding[] {
  const { route, message } = facts;
  const { reason, detail = '' } = verdict as Refusal;
  const rule = route.signature;
  const findings: Finding[] = [];
  if (reason === 'signature.missing')
    findings.push({
      kind: 'headers.missing',
      sentence: `The signature is not there (${detail || `no ${signatureHeaders(rule).join(' or ')}`}): switch signing on at the sender, or find what takes its headers away.`,
    });
  if (reason === 'signature.repeated')
    findings.push({
      kind: 'headers.repeated',
      sentence: `${detail} is there more than once: something adds its own beside the sender's; have each be sent once.`,
    });
  if (reason === 'signature.malformed')
    findings.push({
      kind: 'headers.malformed',
      sentence: hasMilliseconds(message)
        ? 'The timestamp is in milliseconds: have the sender write seconds since 1970.'
        : `The signature headers cannot be read (${detail}): compare what the sender writes with its documentation${route.sender === undefined ? '' : `, ${route.sender.documentation}`}.`,
    });
  const versions = Object.keys(headers.versions);
  const known = new Set<string>(rule.keys.map(({ version }) => version));
  if (rule.scheme === 'standard-webhooks' && versions.length > 0 && !versions.some((one) => known.has(one)))
    findings.push({
      kind: 'headers.version',
      sentence: `There are signatures of ${versions.join(' and ')} only, and the route has keys for ${[...known].join(' and ')}: give it the ${known.has('v1') ? "sender's public key, whpk_…" : 'shared secret, whsec_…'}.`,
    });
  return findings;
}

function hasMilliseconds({ headers }: Message): boolean {
  return headers.some(
    (value, place) =>
      place % 2 === 1 &&
      /^(?:webhook|svix)-timestamp$/.test(headers[place - 1] ?? '') &&
      /^\d{13}$/.test(value),
  );
}

function tryVariants({ message, route, routes, senders }: SignatureFacts): {
  findings: Finding[];
  variants: number;
} {
  const rule = route.signature;
  const findings: Finding[] = [];
  let variants = 0;
  const attempt = (one: SignatureSettings, of: Message, finding: Finding): void => {
    variants += 1;
    // Of several spellings of one mistake the first will do.
    if (findings.some(({ kind, route: other }) => kind === finding.kind && other === finding.route)) return;
    if (holds(one, of)) findings.push(finding);
  };
  if (rule.scheme !== 'token')
    for (const { kind, sentence, body } of bodyVariants(message.body))
      attempt(
        rule,
        { ...message, body },
        { kind: `body.${kind}`, sentence: `The signature holds for the body ${sentence}` },
      );
  for (const { kind, sentence, rule: one, message: of } of ruleVariants(rule, message))
    attempt(one, of, { kind, sentence: `The signature holds ${sentence}` });
  for (const { name, signature } of routes) {
    if (signature === undefined || name === route.name) continue;
    const finding = { kind: 'secret.route', route: name };
    attempt({ ...rule, keys: signature.keys }, message, {
      ...finding,
      sentence: `The signature holds by a secret of the route ${name}: have the sender use the secret of this route, or send to that one.`,
    });
    attempt(signature, message, {
      ...finding,
      sentence: `The signature holds by the scheme and a secret of the route ${name}: have the sender send to that one, or give this route the same signature.`,
    });
  }
  for (const { name, signature } of senders) foreign(name, signature);
  return { findings, variants };

  /** Another sender's headers, and whether this route's secret is good for them. */
  function foreign(name: string, other: SenderProfile['signature']): void {
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

function nothingHolds(variants: number, { scheme }: SignatureSettings): Finding {
  const what =
    scheme === 'public-key'
      ? "copy the sender's public key again"
      : scheme === 'token'
        ? "copy the sender's token again"
        : "copy the sender's secret again, whole";
  return {
    kind: 'secret.unknown',
    sentence: `The signature holds for none of ${variants} other readings, nor by another route's secret: it was made by another secret, or the capture is not what was sent; ${what} (postern check --show tells secrets apart).`,
  };
}
