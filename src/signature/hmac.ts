import { createHmac, timingSafeEqual } from 'node:crypto';
import type { SignatureSettings } from '../settings.ts';
import type { HmacRule } from '../signature-settings.ts';
import type { Message, Verdict } from '../types.ts';
import { declared } from './declared.ts';
import { malformed } from './presented.ts';

const BYTES = { sha1: 20, sha256: 32, sha512: 64 };

/** Verifies an HMAC (RFC 2104) over declared content. */
export function hmac(rule: HmacRule & SignatureSettings): (message: Message) => Verdict {
  const { algorithm, encoding } = rule;
  const form = formOf(rule);
  return declared(rule, rule.keys, ({ key }, { before, middle, after }, signatures) => {
    const mac = createHmac(algorithm, key);
    if (before !== '') mac.update(before);
    mac.update(middle);
    if (after !== '') mac.update(after);
    const expected = Buffer.from(mac.digest(encoding), 'latin1');
    for (const signature of signatures) {
      if (isSame(signature, expected)) return true;
      if (!form.test(signature)) return malformed(`a signature that is not ${algorithm} in ${encoding}`);
      if (isSame(asWritten(signature, encoding), expected)) return true;
    }
    return false;
  });
}

/** Compared as text: decoding first would let several spellings of one signature through. */
function isSame(signature: string, expected: Buffer): boolean {
  return signature.length === expected.length && timingSafeEqual(Buffer.from(signature, 'latin1'), expected);
}

/** Hexadecimal digits in either case, base64url with or without `=` at its end: senders differ, and nothing else does. */
function asWritten(signature: string, encoding: HmacRule['encoding']): string {
  if (encoding === 'hex') return signature.toLowerCase();
  return encoding === 'base64url' ? signature.replace(/=+$/, '') : signature;
}

/** The form of every signature of this length. */
function formOf({ algorithm, encoding }: HmacRule): RegExp {
  const bytes = BYTES[algorithm];
  if (encoding === 'hex') return new RegExp(`^[\\da-fA-F]{${bytes * 2}}$`);
  const characters = Math.ceil((bytes * 4) / 3);
  const padding = (3 - (bytes % 3)) % 3;
  return encoding === 'base64'
    ? new RegExp(`^[A-Za-z\\d+/]{${characters}}={${padding}}$`)
    : new RegExp(`^[A-Za-z\\d_-]{${characters}}(?:={${padding}})?$`);
}
