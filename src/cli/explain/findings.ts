import type { RouteSettings, SignatureSettings } from '../../settings.ts';
import type { Message, Refusal } from '../../types.ts';
import { type PresentedHeaders, signatureHeaders } from './presented.ts';

/** One thing found out about a signature, in one sentence that says what to do. */
export interface Finding {
  readonly kind: string;
  readonly sentence: string;
  /** The other route whose secret it is. */
  readonly route?: string;
}

/** How far its time is off, and whether that is all. */
export function timeFindings(
  { reason }: Refusal,
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
export function formFindings(
  { reason, detail = '' }: Refusal,
  message: Message,
  { signature: rule, sender }: Pick<RouteSettings, 'sender'> & { readonly signature: SignatureSettings },
  headers: PresentedHeaders,
): Finding[] {
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
        : `The signature headers cannot be read (${detail}): compare what the sender writes with its documentation${sender === undefined ? '' : `, ${sender.documentation}`}.`,
    });
  const versions = Object.keys(headers.versions);
  const known = new Set<string>(rule.keys.map(({ version }) => version));
  const isOther = versions.length > 0 && known.size > 0 && !versions.some((one) => known.has(one));
  if (rule.scheme === 'standard-webhooks' && isOther)
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

/** Nothing that was tried explains it. */
export function nothingHolds(variants: number, { scheme }: SignatureSettings): Finding {
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
