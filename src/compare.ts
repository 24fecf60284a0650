import { timingSafeEqual } from 'node:crypto';

const STEP = 256;

/** A secret, ready to be compared with what senders present. */
export interface Secret {
  readonly length: number;
  readonly padded: Buffer;
  /** What is presented, padded alike; one buffer serves all comparisons, since each is over before the next begins. */
  readonly presented: Buffer;
}

/** @param text taken as UTF-8 */
export function secretOf(text: string): Secret {
  const bytes = Buffer.from(text);
  const width = Math.max(1, Math.ceil(bytes.length / STEP)) * STEP;
  const padded = Buffer.alloc(width);
  bytes.copy(padded);
  return { length: bytes.length, padded, presented: Buffer.alloc(width) };
}

/**
 * Compares in a time that depends on neither value: both are padded to one width, a multiple of 256 bytes, so that
 * the secret's own length does not show.
 */
export function isSecret({ length, padded, presented }: Secret, value: Buffer): boolean {
  if (value.length > padded.length) return false;
  presented.fill(0);
  value.copy(presented);
  return timingSafeEqual(presented, padded) && value.length === length;
}
