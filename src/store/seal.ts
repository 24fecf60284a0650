import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { EncryptionKey } from '../settings.ts';

const VERSION = 1;
const KEY_ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES;

/** Encrypts what is kept at rest. */
export interface Sealer {
  /** @param context what the bytes belong to: they cannot be opened as another's */
  seal(plain: Buffer, context: string): Buffer;
  /** @throws Error where the bytes were altered, belong to another context, or their key is not at hand */
  open(sealed: Buffer, context: string): Buffer;
}

/**
 * AES-256-GCM with a random nonce each: version, key id, nonce, tag, ciphertext. The first key seals, all open.
 */
export function sealer(keys: readonly [EncryptionKey, ...EncryptionKey[]]): Sealer {
  const [first] = keys;
  return {
    seal(plain, context) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', first.key, nonce).setAAD(Buffer.from(context));
      const text = Buffer.concat([cipher.update(plain), cipher.final()]);
      return Buffer.concat([
        Buffer.of(VERSION),
        Buffer.from(first.id, 'hex'),
        nonce,
        cipher.getAuthTag(),
        text,
      ]);
    },
    open(sealed, context) {
      if (sealed.length < HEAD_BYTES || sealed[0] !== VERSION) throw new Error('this is not a sealed event');
      const id = sealed.toString('hex', 1, 1 + KEY_ID_BYTES);
      const key = keys.find((one) => one.id === id)?.key;
      if (key === undefined)
        throw new Error(`it was encrypted with the key ${id}, which is not among state.encryption_key`);
      const nonce = sealed.subarray(1 + KEY_ID_BYTES, HEAD_BYTES - TAG_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
        .setAAD(Buffer.from(context))
        .setAuthTag(sealed.subarray(HEAD_BYTES - TAG_BYTES, HEAD_BYTES));
      return Buffer.concat([decipher.update(sealed.subarray(HEAD_BYTES)), decipher.final()]);
    },
  };
}
