import { constants, type KeyObject, verify } from 'node:crypto';
import type { SignatureSettings } from '../settings.ts';
import type { PublicKeyRule } from '../signature-settings.ts';
import type { Message, Refusal, Verdict } from '../types.ts';
import type { Content } from './content.ts';
import { declared } from './declared.ts';
import { malformed } from './presented.ts';

/** RSA of 8192 bits in hexadecimal digits. */
const LONGEST = 2048;
const ALGORITHMS = {
  'rsa-sha256': { digest: 'sha256', jws: 'RS256' },
  'rsa-sha512': { digest: 'sha512', jws: 'RS512' },
  ed25519: { digest: undefined, jws: 'EdDSA' },
};

/** Verifies a signature by the sender's private key over declared content. */
export function publicKey(rule: PublicKeyRule & SignatureSettings): (message: Message) => Verdict {
  const { digest } = ALGORITHMS[rule.algorithm];
  const isBy = (key: KeyObject, signed: Buffer, signature: Buffer): boolean =>
    // RSA only with the padding that is meant: a key alone would be good for both of its paddings.
    verify(
      digest,
      signed,
      rule.algorithm === 'ed25519' ? key : { key, padding: constants.RSA_PKCS1_PADDING },
      signature,
    );
  return declared(rule, rule.keys, ({ key }, content, signatures) => {
    const signed = bytesOf(content);
    for (const text of signatures) {
      const presented =
        rule.encoding === 'jws' ? readJws(text, rule, signed) : readPlain(text, rule.encoding, signed);
      if ('reason' in presented) return presented;
      if (isBy(key, presented.signed, presented.signature)) return true;
    }
    return false;
  });
}

interface Presented {
  readonly signed: Buffer;
  readonly signature: Buffer;
}

function readPlain(
  text: string,
  encoding: 'hex' | 'base64' | 'base64url',
  signed: Buffer,
): Presented | Refusal {
  const signature = decode(text, encoding);
  return signature === undefined ? malformed(`a signature that is not ${encoding}`) : { signed, signature };
}

/**
 * RFC 7515 section 5.2, of a JWS without its payload. The key says which algorithm it is for, never the header: that is
 * the attacker's. An extension that must be understood (`crit`) is not, so it is refused (section 4.1.11).
 */
function readJws(text: string, { algorithm }: PublicKeyRule, body: Buffer): Presented | Refusal {
  const [head = '', payload, end = '', rest] = text.split('.', 4);
  const header = decode(head, 'base64url');
  const signature = decode(end, 'base64url');
  if (payload !== '' || rest !== undefined || header === undefined || signature === undefined)
    return malformed('not a JWS without payload');
  const said = parseHeader(header);
  if (said?.alg !== ALGORITHMS[algorithm].jws)
    return malformed(`the JWS is not ${ALGORITHMS[algorithm].jws}`);
  if (Object.hasOwn(said, 'crit')) return malformed('the JWS asks for an extension');
  return { signed: Buffer.from(`${head}.${body.toString('base64url')}`, 'latin1'), signature };
}

function parseHeader(header: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(header.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Node reads anything as base64, dropping what does not fit; only what comes out the same is what was meant. */
function decode(text: string, encoding: 'hex' | 'base64' | 'base64url'): Buffer | undefined {
  if (text === '' || text.length > LONGEST) return undefined;
  const bytes = Buffer.from(text, encoding);
  const written =
    encoding === 'hex' ? text.toLowerCase() : encoding === 'base64url' ? text.replace(/=+$/, '') : text;
  return bytes.toString(encoding) === written ? bytes : undefined;
}

function bytesOf({ before, middle, after }: Content): Buffer {
  const bytes = Buffer.isBuffer(middle) ? middle : Buffer.from(middle);
  return before === '' && after === ''
    ? bytes
    : Buffer.concat([Buffer.from(before), bytes, Buffer.from(after)]);
}
