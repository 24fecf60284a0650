import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { EncryptionKey } from '../state-settings.ts';

/** Encrypts what is stored, each piece bound to its place: moved to another event or field it does not open. */
export interface Sealer {
  /** The id of the key that seals. */
  readonly keyId: string;
  /** Whether what was sealed with this key can be opened. */
  hasKey(id: string): boolean;
  /** @param context where the piece belongs: the event's id and what it is */
  seal(plain: Buffer, context: string): Buffer;
  /**
   * @throws MissingKeyError where the piece's key is not configured
   * @throws Error where the piece was altered, or belongs elsewhere
   */
  open(sealed: Buffer, context: string): Buffer;
}

/** An event was sealed with a key that is not configured (any more). */
export class MissingKeyError extends Error {
  readonly keyId: string;

  constructor(keyId: string) {
    super(`encrypted with the key ${keyId}, which is not in state.encryption_key; add it after the others`);
    this.keyId = keyId;
  }
}

/** A sealed piece: format (1 byte), key id (4), nonce (12), what was encrypted, tag (16). */
const FORMAT = 1;
const KEY_ID_END = 5;
const NONCE_END = 17;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ALGORITHM = 'aes-256-gcm';

/**
 * AES-256-GCM with random nonces of 96 bits (NIST SP 800-38D section 8.2.2: at most 2^32 pieces a key).
 * @param keys the first seals, all open
 */
export function sealer(keys: readonly [EncryptionKey, ...EncryptionKey[]]): Sealer {
  const byId = new Map(keys.map(({ id, key }) => [id, key]));
  const [{ id: keyId, key: newest }] = keys;
  const start = Buffer.concat([Buffer.of(FORMAT), Buffer.from(keyId, 'hex')]);
  return {
    keyId,
    hasKey: (id) => byId.has(id),
    seal(plain, context) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, newest, nonce).setAAD(bound(start, context));
      return Buffer.concat([start, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(sealed, context) {
      if (sealed.length < NONCE_END + TAG_BYTES || sealed[0] !== FORMAT) throw new Error(ALTERED);
      const id = keyIdOf(sealed);
      const key = byId.get(id);
      if (key === undefined) throw new MissingKeyError(id);
      const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(KEY_ID_END, NONCE_END), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(bound(sealed.subarray(0, KEY_ID_END), context));
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
      try {
        return Buffer.concat([decipher.update(sealed.subarray(NONCE_END, -TAG_BYTES)), decipher.final()]);
      } catch {
        throw new Error(ALTERED);
      }
    },
  };
}

const ALTERED = 'cannot be decrypted: it was altered, or the file is damaged';

/** The keys of a configuration; `undefined`: there are none, and nothing is encrypted. */
export function sealerOf([first, ...others]: readonly EncryptionKey[]): Sealer | undefined {
  return first === undefined ? undefined : sealer([first, ...others]);
}

function keyIdOf(sealed: Buffer): string {
  return sealed.toString('hex', 1, KEY_ID_END);
}

function bound(start: Buffer, context: string): Buffer {
  return Buffer.concat([start, Buffer.from(context)]);
}
