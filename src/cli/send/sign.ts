import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { Webhook } from 'svix';

/** The value of the signature header: `v1,` or `v1a,` and base64 for each secret, separated by spaces. */
export type Signer = (id: string, at: Date, body: Buffer) => string;

/**
 * The current secret and ten old ones: Svix signs with a secret for a day after it was rotated away, and lets it be
 * rotated ten times in that time (`ExpiringSigningKeys`, server/svix-server/src/core/types/mod.rs).
 */
export const MOST_SECRETS = 11;

/** RFC 8410, section 7: what stands before the 32 bytes of an Ed25519 private key in PKCS #8. */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Signs with every secret, in this order: the current one first. @throws Error where one is neither base64 nor a key */
export function makeSigner(...secrets: readonly string[]): Signer {
  const signers = secrets.map((secret) => (secret.startsWith('whsk_') ? ed25519(secret) : hmac(secret)));
  return (id, at, body) => signers.map((signer) => signer(id, at, body)).join(' ');
}

function hmac(secret: string): Signer {
  const webhook = new Webhook(secret);
  return (id, at, body) => webhook.sign(id, at, body.toString('utf8'));
}

/** The svix package signs no `v1a`. */
function ed25519(secret: string): Signer {
  const key = readPrivateKey(secret);
  return (id, at, body) => {
    const head = `${id}.${Math.floor(at.getTime() / 1000)}.`;
    return `v1a,${sign(undefined, Buffer.concat([Buffer.from(head), body]), key).toString('base64')}`;
  };
}

/**
 * An Ed25519 key as Standard Webhooks writes it: `whsk_` and base64 of its 32 bytes, or, as Svix does, of these and the
 * 32 of its public key.
 * @throws Error where it is none, in a sentence that does not hold it
 */
export function readPrivateKey(secret: string): KeyObject {
  const text = secret.replace(/^whsk_/, '');
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text || (bytes.length !== 32 && bytes.length !== 64))
    throw new Error('a whsk_ key is base64 of 32 or 64 bytes after its prefix');
  const key = createPrivateKey({
    key: Buffer.concat([ED25519_PKCS8, bytes.subarray(0, 32)]),
    format: 'der',
    type: 'pkcs8',
  });
  const publicKey = createPublicKey(key).export({ format: 'jwk' }).x;
  if (bytes.length === 64 && publicKey !== bytes.subarray(32).toString('base64url'))
    throw new Error('the public half of the whsk_ key does not belong to its private half');
  return key;
}
