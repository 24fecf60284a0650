import type { SenderProfile } from '../sender-profile.ts';
import type { SignatureSettings } from '../settings.ts';
import type { SignatureKey, SignatureRule } from '../signature-settings.ts';
import type { Path } from './document.ts';
import { type Partly, readInner } from './issues.ts';
import type { Report } from './problems.ts';
import { isPlace } from './signature-content.ts';
import { type KeyKind, readKey } from './signature-keys.ts';
import { DECLARED_KEYS, PUBLIC_KEYS, readRule } from './signature-rule.ts';
import { type SignatureInput, signatureSchema } from './signature-schema.ts';

/** What a route may say of a scheme that its sender declares. */
const OVER_SENDER = ['tolerance', 'id', 'origin'] as const;
const OWN: ReadonlySet<string> = new Set(['scheme', 'secrets', 'public_keys', ...OVER_SENDER]);

/**
 * How a route's messages are signed: as its own section declares, or as its sender does.
 * @param given the route's section as it is written; its own mistakes were reported with the route's
 * @param needsKeys whether anybody is to sign by the route's own keys
 * @returns `undefined` when there is none, or something is wrong with it: reported
 */
export function readRouteSignature(
  given: unknown,
  { sender, needsKeys }: { readonly sender: SenderProfile | undefined; readonly needsKeys: boolean },
  path: Path,
  report: Report,
): SignatureSettings | undefined {
  const found = readScheme(given, sender);
  if (found === undefined) return undefined;
  const { section, scheme, own, extra, kind } = found;
  const { values } = section;
  const keys = kind && readKeys(kind, given as GivenKeys, needsKeys, path, report);
  if (own === undefined) {
    const rule = readRule(scheme, section, path, report);
    const located = rule && withOrigin(rule, values.origin, path, report);
    return located && keys && { ...located, keys };
  }
  for (const key of extra) {
    report.add(
      [...path, key],
      `the sender ${sender?.name} declares how it signs; remove this, or write scheme and all that belongs to it here`,
      'key',
    );
  }
  const rule = overSender(own, section, path, report);
  return rule && keys && { ...rule, keys };
}

/** What can be said of the keys before the rest of a declaration is right; `undefined`: nothing. */
function kindOf(
  scheme: SignatureRule['scheme'],
  { values, right }: Partly<SignatureInput>,
): KeyKind | undefined {
  if (scheme === 'hmac')
    return right('secret_encoding')
      ? { scheme, secretEncoding: values.secret_encoding ?? 'text' }
      : undefined;
  if (scheme !== 'public-key') return { scheme };
  const algorithm = PUBLIC_KEYS.find((known) => known === values.algorithm);
  return algorithm && { scheme, algorithm };
}

/** The sender's rule with what the route says otherwise. */
function overSender(
  rule: SignatureRule,
  { values, right }: Partly<SignatureInput>,
  path: Path,
  report: Report,
): SignatureRule | undefined {
  if (!right(...OVER_SENDER)) return undefined;
  const { tolerance, id } = values;
  let result: SignatureRule | undefined = rule;
  const timed =
    rule.scheme === 'standard-webhooks' || (rule.scheme !== 'token' && rule.timestamp !== undefined);
  if (tolerance !== undefined) {
    if (timed) result = { ...rule, toleranceMs: tolerance } as SignatureRule;
    else {
      report.add([...path, 'tolerance'], 'has no effect, since this sender signs no time; remove it');
      return undefined;
    }
  }
  if (id !== undefined) {
    if (typeof id !== 'string' || rule.scheme === 'standard-webhooks' || rule.scheme === 'token') {
      report.add(
        [...path, 'id'],
        'over what the sender declares it can be content or none, and with hmac or public-key only',
      );
      return undefined;
    }
    result = { ...result, id: { from: id } } as SignatureRule;
  }
  return withOrigin(result, values.origin, path, report);
}

function withOrigin(
  rule: SignatureRule,
  origin: string | undefined,
  path: Path,
  report: Report,
): SignatureRule | undefined {
  if (origin === undefined) return rule;
  const signsUrl = 'content' in rule && rule.content.some((piece) => isPlace(piece, 'url'));
  if (signsUrl) return { ...rule, origin };
  report.add([...path, 'origin'], 'has no effect, since no URL is signed; remove it');
  return undefined;
}

/** What kind of keys a route's signature has; `undefined`: that cannot be told. */
export function keyKindOf(given: unknown, sender: SenderProfile | undefined): KeyKind | undefined {
  return readScheme(given, sender)?.kind;
}

interface Scheme {
  readonly section: Partly<SignatureInput>;
  readonly scheme: SignatureRule['scheme'];
  /** The sender's own rule; `undefined`: the route declares another. */
  readonly own: SignatureRule | undefined;
  /** What the route declares. */
  readonly extra: readonly string[];
  readonly kind: KeyKind | undefined;
}

function readScheme(given: unknown, sender: SenderProfile | undefined): Scheme | undefined {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return undefined;
  const section: Partly<SignatureInput> = readInner(signatureSchema, given);
  if (!section.right('scheme')) return undefined;
  const senders = sender?.signature;
  const scheme = section.values.scheme ?? senders?.scheme ?? 'standard-webhooks';
  // A key that nobody knows was reported with the route; its name may be a secret, and is not said here.
  const extra = Object.keys(given).filter((key) => DECLARED_KEYS.has(key) && !OWN.has(key));
  // A scheme with nothing else is the sender's own, if that is its scheme.
  const isOwn = senders?.scheme === scheme && (section.values.scheme === undefined || extra.length === 0);
  const own = isOwn ? senders : undefined;
  return { section, scheme, own, extra, kind: own ?? kindOf(scheme, section) };
}

/** As they are written, so that each is judged whatever the others are. */
export interface GivenKeys {
  readonly secrets?: unknown;
  readonly public_keys?: unknown;
}

/** Reads the keys of a section. @param isNeeded whether there must be some */
export function readKeys(
  kind: KeyKind,
  given: GivenKeys,
  isNeeded: boolean,
  path: Path,
  report: Report,
): readonly SignatureKey[] | undefined {
  const isPublic = kind.scheme === 'public-key';
  const [name, other] = isPublic
    ? (['public_keys', 'secrets'] as const)
    : (['secrets', 'public_keys'] as const);
  if (given[other] !== undefined) {
    report.add(
      [...path, other],
      isPublic
        ? 'the scheme public-key knows no secret; give the public keys of the sender as public_keys'
        : `the scheme ${kind.scheme} verifies by secrets; remove this`,
      'key',
    );
  }
  const texts = given[name];
  if (texts === undefined && !isNeeded) return [];
  if (texts === undefined) {
    const what = isPublic
      ? `a list of the sender's public keys such as ["\${file:sender.pem}"]`
      : 'a list of secrets such as ["whsec_…"]';
    report.add([...path, name], `is missing; give ${what}`);
  }
  if (!Array.isArray(texts)) return undefined;
  const keys = texts.map((text: unknown, index) => {
    // What is no text was reported with the route.
    const found = typeof text === 'string' && text !== '' ? readKey(kind, text) : undefined;
    if (found === undefined) return undefined;
    if (!('wrong' in found)) {
      const from = report.source.originOf([...path, name, index]);
      return from === undefined ? found : { ...found, from };
    }
    const sentence = found.alone === true ? found.wrong : `this is no secret of a sender: ${found.wrong}`;
    report.add([...path, name, index], sentence);
    return undefined;
  });
  return keys.every((found) => found !== undefined) ? keys : undefined;
}
