import { hash, timingSafeEqual } from 'node:crypto';

/** SHA-256 of a secret: digests have one length, so comparing them tells nothing about the secret's. */
export function digestOf(secret: string | Buffer): Buffer {
  return hash('sha256', secret, 'buffer');
}

/** Compares in constant time. Both digests must come from `digestOf`. */
export function sameDigest(a: Buffer, b: Buffer): boolean {
  return timingSafeEqual(a, b);
}
