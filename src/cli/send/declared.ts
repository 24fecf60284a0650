import { constants, createHmac, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { readKey } from '../../config/signature-keys.ts';
import type { SenderProfile } from '../../sender-profile.ts';
import { contentMaker } from '../../signature/content.ts';
import type {
  DeclaredRule,
  HmacRule,
  PublicKeyRule,
  StandardWebhooksRule,
} from '../../signature-settings.ts';
import { attempt, misuse } from './identity.ts';

/** What is signed of one attempt. */
export interface Signable {
  readonly url: URL;
  readonly method: string;
  readonly id: string;
  readonly at: Date;
  readonly body: Buffer;
}

/** The header fields by which an attempt is signed, names in lower case. */
export type FieldSigner = (request: Signable) => Readonly<Record<string, string>>;

type Rule = Exclude<NonNullable<SenderProfile['signature']>, StandardWebhooksRule>;

/**
 * Signs as a sender profile declares it.
 * @param secret the shared secret, or the sender's private key in PEM
 * @throws CliError, exit code 2, where the secret does not fit, or nobody but the sender can sign so
 */
export function declaredSigner(profile: SenderProfile, rule: Rule, secret: string): FieldSigner {
  if (rule.scheme === 'token') {
    return ({ id }) => ({ [rule.header]: secret, ...(rule.id !== undefined && { [rule.id]: id }) });
  }
  if (rule.content.some((piece) => 'place' in piece && piece.place === 'form')) {
    misuse(
      `cannot sign as ${profile.name}: it signs the fields of a form; give its signature by --header, with --no-signature`,
    );
  }
  const make = contentMaker(rule);
  const mark = rule.scheme === 'hmac' ? hmacMarker(rule, secret) : keyMarker(rule, secret);
  return (request) => {
    const timestamp = timestampOf(rule, request.at);
    const { url, method, id, body } = request;
    const facts = { method, path: url.pathname, query: url.search, authority: url.host, headers: [], body };
    const content = make(facts, { timestamp, id });
    if ('reason' in content) return misuse(`cannot sign as ${profile.name}: ${content.detail}`);
    const { before, middle, after } = content;
    const signed = Buffer.concat([Buffer.from(before), Buffer.from(middle), Buffer.from(after)]);
    return fieldsOf(rule, mark(signed), { timestamp, id });
  };
}

function fieldsOf(
  { header, prefix, separator, timestamp: time, id: named }: DeclaredRule,
  signature: string,
  { timestamp, id }: { timestamp: string; id: string },
): Record<string, string> {
  const elements = [`${prefix}${signature}`];
  const fields: Record<string, string> = {};
  if (time !== undefined && 'element' in time) elements.unshift(`${time.element}${timestamp}`);
  if (time !== undefined && 'header' in time) fields[time.header] = timestamp;
  if (named.from === 'header') fields[named.name] = id;
  return { ...fields, [header]: elements.join(separator) };
}

function timestampOf({ timestamp }: DeclaredRule, at: Date): string {
  return String(Math.floor(at.getTime() / (timestamp?.unitMs ?? 1000)));
}

type Marker = (signed: Buffer) => string;

function hmacMarker(rule: HmacRule, secret: string): Marker {
  const found = readKey(rule, secret);
  if ('wrong' in found) return misuse(`--secret: ${found.wrong}`);
  return (signed) => createHmac(rule.algorithm, found.key).update(signed).digest(rule.encoding);
}

function keyMarker({ algorithm, encoding }: PublicKeyRule, secret: string): Marker {
  const key = attempt(
    () => createPrivateKey(secret),
    'the signing secret is no private key in PEM, with which this sender signs; make one of your own, and give the route its public key',
  );
  const wanted = algorithm === 'ed25519' ? 'ed25519' : 'rsa';
  if (key.asymmetricKeyType !== wanted)
    misuse(`the private key is of the kind ${key.asymmetricKeyType}, and ${algorithm} needs ${wanted}`);
  const mark = (signed: Buffer) => signBytes(signed, key, algorithm);
  if (encoding !== 'jws') return (signed) => mark(signed).toString(encoding);
  const alg = { 'rsa-sha256': 'RS256', 'rsa-sha512': 'RS512', ed25519: 'EdDSA' }[algorithm];
  const head = Buffer.from(JSON.stringify({ alg })).toString('base64url');
  return (signed) => {
    const signature = mark(Buffer.from(`${head}.${signed.toString('base64url')}`));
    return `${head}..${signature.toString('base64url')}`;
  };
}

function signBytes(signed: Buffer, key: KeyObject, algorithm: PublicKeyRule['algorithm']): Buffer {
  if (algorithm === 'ed25519') return sign(undefined, signed, key);
  return sign(algorithm.slice('rsa-'.length), signed, { key, padding: constants.RSA_PKCS1_PADDING });
}
