import { type Fields, fieldCount, fieldValue } from '../../fields.ts';
import { parseMessage, valueAt } from '../../message.ts';
import { FAMILIES, headerNames, PARTS } from '../../signature/header-names.ts';
import { presentedReader } from '../../signature/presented.ts';
import type { DeclaredRule, HeaderFamily, SignatureRule } from '../../signature-settings.ts';
import type { Message } from '../../types.ts';
import { visible } from '../events/visible.ts';

/** Which signature headers a request has; never what they say. */
export interface PresentedHeaders {
  /** The names that the scheme knows and that are there, each as often as it is. */
  readonly names: readonly string[];
  /** Of Standard Webhooks: whose names the headers have. */
  readonly families: readonly HeaderFamily[];
  /** How many signatures there are of each version, or of each header. */
  readonly versions: Readonly<Record<string, number>>;
}

const MOST_VERSIONS = 8;
const LONGEST_VERSION = 16;

/** Looks at the headers by name and by version only. */
export function presentedHeaders(rule: SignatureRule, headers: Fields): PresentedHeaders {
  const names = headerNames(rule).flatMap((name) => Array<string>(fieldCount(headers, name)).fill(name));
  if (rule.scheme !== 'standard-webhooks') {
    if (rule.scheme === 'token') return { names, families: [], versions: {} };
    const read = presentedReader(rule)(headers);
    const versions = 'reason' in read ? {} : { [rule.header]: read.signatures.length };
    return { names, families: [], versions };
  }
  const families = FAMILIES.filter((family) =>
    PARTS.some((part) => fieldCount(headers, `${family}-${part}`) > 0),
  );
  const versions = new Map<string, number>();
  const list = families.map((family) => fieldValue(headers, `${family}-signature`)).find((one) => one);
  for (const text of (list ?? '').split(' ')) {
    // What stands before no comma may be a signature of somebody who forgot the version.
    const comma = text.indexOf(',');
    if (comma < 1) continue;
    const version = visible(text.slice(0, Math.min(comma, LONGEST_VERSION)));
    if (versions.has(version) || versions.size < MOST_VERSIONS)
      versions.set(version, (versions.get(version) ?? 0) + 1);
  }
  return { names, families, versions: Object.fromEntries(versions) };
}

/** The header by which a scheme is known. */
export function signatureHeaders(rule: SignatureRule): readonly string[] {
  return rule.scheme === 'standard-webhooks'
    ? FAMILIES.map((family) => `${family}-signature`)
    : [rule.header];
}

/** When a message says that it was signed, milliseconds since the epoch; `undefined`: it does not, or not legibly. */
export function signedAtMs(
  rule: SignatureRule,
  message: Pick<Message, 'headers' | 'body'>,
): number | undefined {
  const { headers } = message;
  switch (rule.scheme) {
    case 'token':
      return undefined;
    case 'standard-webhooks': {
      const text = FAMILIES.map((family) => fieldValue(headers, `${family}-timestamp`)).find((one) => one);
      return digits(text, 1000);
    }
    default:
      return declaredAtMs(rule, message);
  }
}

function declaredAtMs(
  rule: DeclaredRule,
  { headers, body }: Pick<Message, 'headers' | 'body'>,
): number | undefined {
  const { timestamp } = rule;
  if (timestamp === undefined) return undefined;
  if ('body' in timestamp) {
    const value = valueAt(parseMessage(body), timestamp.body);
    return Number.isSafeInteger(value) ? digits(String(value), timestamp.unitMs) : undefined;
  }
  const read = presentedReader(rule)(headers);
  return 'reason' in read ? undefined : digits(read.timestamp, timestamp.unitMs);
}

function digits(text: string | undefined, unitMs: number): number | undefined {
  if (text === undefined || !/^\d{1,15}$/.test(text)) return undefined;
  const ms = Number(text) * unitMs;
  return ms <= 8.64e15 ? ms : undefined;
}
