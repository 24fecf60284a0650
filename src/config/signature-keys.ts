import { createPublicKey, createSecretKey } from 'node:crypto';
import type { HmacRule, PublicKeyRule, SignatureKey } from '../signature-settings.ts';
import { readFieldValue, type Wrong, wrong } from './values.ts';

const FEWEST_BYTES = 24;
const MOST_BYTES = 75;
/** What is shorter takes an afternoon to factor, or soon will (NIST SP 800-131A). */
const FEWEST_BITS = 2048;

/** What a key is for, and how it is written. */
export type KeyKind =
  | { readonly scheme: 'standard-webhooks' | 'token' }
  | Pick<HmacRule, 'scheme' | 'secretEncoding'>
  | Pick<PublicKeyRule, 'scheme' | 'algorithm'>;

/** A secret or public key. @returns the key, or what is wrong with it in a sentence that does not hold it */
export function readKey(kind: KeyKind, text: string): SignatureKey | Wrong {
  switch (kind.scheme) {
    case 'standard-webhooks':
      return readSignatureKey(text);
    case 'hmac':
      return readHmacSecret(text, kind.secretEncoding);
    case 'public-key':
      return readPublicKey(text, kind.algorithm);
    case 'token': {
      const value = readFieldValue(text);
      return typeof value === 'string' ? secretKey(Buffer.from(value)) : value;
    }
  }
}

/** A signature secret (Standard Webhooks spec, "Signature scheme"): `whsec_` and `whpk_`, or bare base64. */
export function readSignatureKey(text: string): SignatureKey | Wrong {
  if (text.startsWith('whsk_')) {
    return wrong(
      'a whsk_ key signs and belongs to the sender alone; give its public key, which begins with whpk_',
    );
  }
  const isPublic = text.startsWith('whpk_');
  const bytes = decodeBase64(isPublic ? text.slice('whpk_'.length) : text.replace(/^whsec_/, ''));
  if (bytes === undefined) {
    return wrong('the secret is not base64; copy it again, whole, with its prefix and its = at the end');
  }
  if (isPublic) return readEd25519(bytes);
  if (bytes.length < FEWEST_BYTES || bytes.length > MOST_BYTES) {
    return wrong(
      `the secret decodes to ${bytes.length} bytes; a signature secret has ${FEWEST_BYTES} to ${MOST_BYTES}`,
    );
  }
  return secretKey(bytes);
}

function readHmacSecret(text: string, secretEncoding: HmacRule['secretEncoding']): SignatureKey | Wrong {
  if (text.includes('-----BEGIN'))
    return wrong('this is a key in PEM, and hmac has a secret that both sides know; copy the secret itself');
  if (secretEncoding === 'text') {
    // A line break that came along with it would be part of the secret, and no signature would hold.
    const value = readFieldValue(text);
    return typeof value === 'string' ? secretKey(Buffer.from(value)) : value;
  }
  const bytes = secretEncoding === 'hex' ? decodeHex(text) : decodeBase64(text);
  if (bytes !== undefined) return secretKey(bytes);
  return wrong(
    `the secret is not ${secretEncoding === 'hex' ? 'hexadecimal digits, two a byte' : 'base64'}, as this scheme has them; copy it again, whole`,
  );
}

/** A public key in PEM (RFC 7468 section 13). */
function readPublicKey(text: string, algorithm: PublicKeyRule['algorithm']): SignatureKey | Wrong {
  const labels = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].map(([, label = '']) => label);
  const [label] = labels;
  if (label === undefined)
    return wrong(`this is no public key in PEM; give its text, best by "\${file:PATH}"`);
  if (label.endsWith('PRIVATE KEY'))
    return wrong('a private key signs and belongs to the sender alone; give its public key');
  if (label === 'CERTIFICATE')
    return wrong('this is a certificate; give its public key, by: openssl x509 -in FILE -noout -pubkey');
  if (labels.length > 1) return wrong(`the text holds ${labels.length} keys; give each an entry of its own`);
  try {
    const key = createPublicKey(text);
    const type = key.asymmetricKeyType;
    const wanted = algorithm === 'ed25519' ? 'ed25519' : 'rsa';
    if (type !== wanted)
      return wrong(`the public key is of the kind ${type}, and ${algorithm} needs ${wanted}`);
    const bits = key.asymmetricKeyDetails?.modulusLength ?? FEWEST_BITS;
    if (bits < FEWEST_BITS)
      return wrong(`the public key has ${bits} bits, and can be broken; it needs ${FEWEST_BITS}`);
    return { version: 'v1a', key };
  } catch {
    return wrong(
      `the public key cannot be read; give it whole and with its line breaks, best by "\${file:PATH}"`,
    );
  }
}

function readEd25519(bytes: Buffer): SignatureKey | Wrong {
  if (bytes.length !== 32)
    return wrong(`the whpk_ key decodes to ${bytes.length} bytes; an Ed25519 public key has 32`);
  const x = bytes.toString('base64url');
  return { version: 'v1a', key: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) };
}

function secretKey(bytes: Buffer): SignatureKey {
  return { version: 'v1', key: createSecretKey(bytes) };
}

/** Node reads anything as base64, dropping what does not fit; only what comes out the same is what was meant. */
function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return text !== '' && bytes.toString('base64') === text ? bytes : undefined;
}

function decodeHex(text: string): Buffer | undefined {
  return /^(?:[\da-fA-F]{2})+$/.test(text) ? Buffer.from(text, 'hex') : undefined;
}
