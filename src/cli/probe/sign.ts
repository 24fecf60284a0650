import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { readPrivateKey } from '../send/sign.ts';

/**
 * A secret that signs any bytes under any id and time, right or wrong ones: the svix package, by which `postern send`
 * signs, takes text and real times only.
 */
export interface Key {
  /** One signature, as it stands in the header: `v1,` or `v1a,` and base64. */
  readonly sign: (id: string, timestamp: string, body: Buffer) => string;
  /** A key of the same kind that nobody knows. */
  readonly stranger: () => Key;
}

/** The key of a `whsec_` or `whsk_` secret, or of bare base64. */
export function readKey(secret: string): Key {
  return secret.startsWith('whsk_')
    ? ed25519(readPrivateKey(secret))
    : hmac(Buffer.from(secret.replace(/^whsec_/, ''), 'base64'));
}

/** Standard Webhooks, "Signature scheme": what is signed. */
function content(id: string, timestamp: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
}

function hmac(secret: Buffer): Key {
  return {
    sign: (...signed) =>
      `v1,${createHmac('sha256', secret)
        .update(content(...signed))
        .digest('base64')}`,
    stranger: () => hmac(randomBytes(32)),
  };
}

function ed25519(key: KeyObject): Key {
  return {
    sign: (...signed) => `v1a,${sign(undefined, content(...signed), key).toString('base64')}`,
    stranger: () => ed25519(generateKeyPairSync('ed25519').privateKey),
  };
}
