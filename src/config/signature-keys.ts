import { createPublicKey, createSecretKey } from 'node:crypto';
import type { SignatureKey } from '../settings.ts';
import { scalar, type Wrong, wrong } from './values.ts';

const FEWEST_BYTES = 24;
const MOST_BYTES = 75;

/** A signature secret (Standard Webhooks spec, "Signature scheme"): `whsec_` and `whpk_`, or bare base64. */
export function signatureKey() {
  return scalar<SignatureKey>({
    expected: 'a signature secret: whsec_ and base64, or whpk_ and base64',
    secret: true,
    read: readSignatureKey,
  });
}

/** @returns the key, or what is wrong with it in a sentence that does not hold it */
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
  if (isPublic) return readPublicKey(bytes);
  if (bytes.length < FEWEST_BYTES || bytes.length > MOST_BYTES) {
    return wrong(
      `the secret decodes to ${bytes.length} bytes; a signature secret has ${FEWEST_BYTES} to ${MOST_BYTES}`,
    );
  }
  return { version: 'v1', key: createSecretKey(bytes) };
}

function readPublicKey(bytes: Buffer): SignatureKey | Wrong {
  if (bytes.length !== 32)
    return wrong(`the whpk_ key decodes to ${bytes.length} bytes; an Ed25519 public key has 32`);
  const x = bytes.toString('base64url');
  return { version: 'v1a', key: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) };
}

/** Node reads anything as base64, dropping what does not fit; only what comes out the same is what was meant. */
function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return text !== '' && bytes.toString('base64') === text ? bytes : undefined;
}
