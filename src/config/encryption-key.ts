import { createSecretKey, hash } from 'node:crypto';
import type { EncryptionKey } from '../state-settings.ts';
import { scalar, type Wrong, wrong } from './values.ts';

const BYTES = 32;
const MAKE = 'make one with: openssl rand -base64 32';

/** A key that encrypts events at rest: AES-256. */
export function encryptionKey() {
  return scalar<EncryptionKey>({
    expected: `a key of ${BYTES} bytes in base64 or hexadecimal`,
    secret: true,
    read: readEncryptionKey,
  });
}

/** @returns the key, or what is wrong with it in a sentence that does not hold it */
function readEncryptionKey(text: string): EncryptionKey | Wrong {
  const bytes = Buffer.from(text, /^[\da-f]{64}$/i.test(text) ? 'hex' : 'base64');
  if (bytes.length !== BYTES) {
    return wrong(`the key decodes to ${bytes.length} bytes, and AES-256 takes ${BYTES}; ${MAKE}`);
  }
  if (!/^[\da-f]{64}$/i.test(text) && bytes.toString('base64') !== text)
    return wrong(`the key is neither base64 nor hexadecimal; ${MAKE}`);
  return { id: hash('sha256', bytes, 'hex').slice(0, 8), key: createSecretKey(bytes) };
}
