import { createSecretKey } from 'node:crypto';
import type { SignatureSettings } from '../../settings.ts';
import type { HmacRule, SignatureKey } from '../../signature-settings.ts';
import type { Message } from '../../types.ts';

/** Another way to read a message, by which its signature may hold. */
export interface RuleVariant {
  readonly kind: string;
  /** How it differs, and what to do about it. */
  readonly sentence: string;
  readonly rule: SignatureSettings;
  readonly message: Message;
}

/** What senders and operators get wrong about keys, URLs and the form of a signature. */
export function ruleVariants(rule: SignatureSettings, message: Message): RuleVariant[] {
  return [
    ...keyVariants(rule).map((variant) => ({ ...variant, message })),
    ...headerVariants(rule, message),
    ...urlVariants(rule, message),
    ...(rule.scheme === 'hmac' ? formVariants(rule).map((variant) => ({ ...variant, message })) : []),
  ];
}

type KeyVariant = Omit<RuleVariant, 'message'>;

/** A secret has a text and bytes, and one side may take the one for the other. */
function keyVariants(rule: SignatureSettings): KeyVariant[] {
  if (rule.scheme === 'token' || rule.scheme === 'public-key') return [];
  const bytes = rule.keys.filter(({ version }) => version === 'v1').map(({ key }) => key.export() as Buffer);
  if (rule.scheme === 'hmac' && rule.secretEncoding === 'text') {
    const decoded = bytes.map((secret) => secret.toString('latin1'));
    return [
      keyVariant(
        rule,
        'secret.decoded',
        'with the secret decoded from base64: the sender decodes it, and here it counts as text; write secret_encoding: base64.',
        decoded.map((text) => Buffer.from(text.replace(/^whsec_/, ''), 'base64')),
      ),
      keyVariant(
        rule,
        'secret.decoded',
        'with the secret decoded from hexadecimal: the sender decodes it, and here it counts as text; write secret_encoding: hex.',
        decoded.filter((text) => /^[\da-f]+$/i.test(text)).map((text) => Buffer.from(text, 'hex')),
      ),
    ];
  }
  const texts = (encode: (secret: Buffer) => string[]): Buffer[] =>
    bytes.flatMap(encode).map((text) => Buffer.from(text, 'latin1'));
  return [
    keyVariant(
      rule,
      'secret.text',
      rule.scheme === 'hmac'
        ? "with the secret's text as the key: the sender does not decode it; write secret_encoding: text."
        : "with the secret's text as the key: the sender does not decode its secret; have it decode what follows whsec_ from base64.",
      texts((secret) => {
        const base64 = secret.toString('base64');
        const hex = secret.toString('hex');
        return [base64, `whsec_${base64}`, hex, hex.toUpperCase()];
      }),
    ),
  ];
}

function keyVariant(rule: SignatureSettings, kind: string, sentence: string, secrets: Buffer[]): KeyVariant {
  const keys = secrets
    .filter(({ length }) => length > 0)
    .map((secret): SignatureKey => ({ version: 'v1', key: createSecretKey(secret) }));
  return { kind, sentence, rule: { ...rule, keys } };
}

function headerVariants(rule: SignatureSettings, message: Message): RuleVariant[] {
  if (rule.scheme === 'standard-webhooks') {
    return (['webhook', 'svix'] as const).map((family) => ({
      kind: 'headers.family',
      sentence: `by its ${family}-* headers alone: something has added or changed the others; have it leave them as they were sent.`,
      rule,
      message: withHeaders(message, (name) => !OTHER[family].test(name)),
    }));
  }
  if (rule.scheme !== 'token') return [];
  const bare = (value: string) => value.replace(/^(?:bearer|token) +/i, '').replace(/^"(.*)"$/, '$1');
  const headers = message.headers.map((text, place) =>
    place % 2 === 1 && message.headers[place - 1] === rule.header ? bare(text) : text,
  );
  return [
    {
      kind: 'token.dressed',
      sentence: `without the word or the quotes around the token: have the sender write the token alone in ${rule.header}.`,
      rule,
      message: { ...message, headers },
    },
  ];
}

const OTHER = { webhook: /^svix-/, svix: /^webhook-/ };

function withHeaders(message: Message, keeps: (name: string) => boolean): Message {
  const headers = message.headers.filter((_, place) => keeps(message.headers[place - (place % 2)] as string));
  return { ...message, headers };
}

/** The sender signs the URL that it was given, and not the one that arrives behind a proxy. */
function urlVariants(rule: SignatureSettings, message: Message): RuleVariant[] {
  if (rule.scheme === 'standard-webhooks' || rule.scheme === 'token') return [];
  if (!rule.content.some((piece) => 'place' in piece && piece.place === 'url')) return [];
  const { authority, host } = message;
  const origins = [
    `https://${authority}`,
    `http://${authority}`,
    `https://${host}`,
    `https://${host}:443`,
    `http://${host}:80`,
  ];
  return [...new Set(origins)].map((origin) => ({
    kind: 'url.origin',
    sentence: `with ${origin} before the path: the sender knows the gateway by that; write it as the signature's origin.`,
    rule: { ...rule, origin },
    message,
  }));
}

function formVariants(rule: HmacRule & SignatureSettings): KeyVariant[] {
  const encodings = (['hex', 'base64', 'base64url'] as const).filter((one) => one !== rule.encoding);
  const algorithms = (['sha1', 'sha256', 'sha512'] as const).filter((one) => one !== rule.algorithm);
  return [
    ...encodings.map((encoding) => ({
      kind: 'scheme.encoding',
      sentence: `read as ${encoding}: write encoding: ${encoding} at the route's signature.`,
      rule: { ...rule, encoding },
    })),
    ...algorithms.map((algorithm) => ({
      kind: 'scheme.algorithm',
      sentence: `with ${algorithm}: write algorithm: ${algorithm} at the route's signature.`,
      rule: { ...rule, algorithm },
    })),
    {
      kind: 'scheme.content',
      sentence:
        "over the body alone: the sender signs nothing else; write content: '{body}' at the route's signature.",
      rule: { ...rule, content: [{ place: 'body' as const }] },
    },
  ];
}
