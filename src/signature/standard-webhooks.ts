import { createHmac, timingSafeEqual, verify } from 'node:crypto';
import type { Fields } from '../fields.ts';
import type { HeaderFamily, SignatureKey } from '../signature-settings.ts';
import type { Message, Refusal, Verdict } from '../types.ts';
import { signatureMismatch } from './mismatch.ts';

/** What the three headers of one family say, well-formed but not yet believed. */
interface Claimed {
  id: string;
  timestamp: string;
  signatures: readonly { version: string; text: string }[];
}

export interface Options {
  /** Tried in this order; the place of the one that matched is in the verdict. */
  keys: readonly SignatureKey[];
  toleranceMs: number;
}

const MOST_SIGNATURES = 64;

/**
 * Verifies a Standard Webhooks signature over the raw body: `v1` HMAC-SHA256, `v1a` Ed25519, over `id.timestamp.body`
 * (Standard Webhooks specification, "Signature scheme").
 *
 * Stricter than the specification wherever two readers could differ: each header exactly once, all three of one
 * family, and where both families are present they must say the same, or a forged `webhook-id` could ride beside
 * valid `svix-*` headers.
 */
export function standardWebhooks({ keys, toleranceMs }: Options): (message: Message) => Verdict {
  return ({ headers, body, epochMs }) => {
    const claimed = readHeaders(headers);
    if ('reason' in claimed) return claimed;
    const skewMs = epochMs - Number(claimed.timestamp) * 1000;
    if (skewMs > toleranceMs)
      return { reason: 'signature.stale', detail: `${Math.round(skewMs / 1000)} s old` };
    if (skewMs < -toleranceMs)
      return { reason: 'signature.early', detail: `${Math.round(-skewMs / 1000)} s ahead` };
    const secret = keys.findIndex((key) => holds(key, claimed, body));
    return secret < 0 ? signatureMismatch(keys) : { secret, messageId: claimed.id };
  };
}

function readHeaders(headers: Fields): Claimed | Refusal {
  const webhook = readFamily(headers, 'webhook');
  const svix = readFamily(headers, 'svix');
  const repeated = webhook.repeated ?? svix.repeated;
  if (repeated !== undefined) return { reason: 'signature.repeated', detail: repeated };
  if (isAbsent(svix)) return isAbsent(webhook) ? { reason: 'signature.missing' } : parse(webhook, 'webhook');
  if (isAbsent(webhook)) return parse(svix, 'svix');
  const alike =
    webhook.id === svix.id && webhook.timestamp === svix.timestamp && webhook.signature === svix.signature;
  return alike
    ? parse(webhook, 'webhook')
    : { reason: 'signature.malformed', detail: 'webhook-* and svix-* differ' };
}

/** What one family's headers hold. */
interface Read {
  id: string | undefined;
  timestamp: string | undefined;
  signature: string | undefined;
  /** The name of a header that came twice. */
  repeated: string | undefined;
}

type Part = 'id' | 'timestamp' | 'signature';

const PARTS: Readonly<Record<HeaderFamily, ReadonlyMap<string, Part>>> = {
  webhook: partsOf('webhook'),
  svix: partsOf('svix'),
};

function partsOf(family: HeaderFamily): ReadonlyMap<string, Part> {
  const parts: Part[] = ['id', 'timestamp', 'signature'];
  return new Map(parts.map((part) => [`${family}-${part}`, part]));
}

function readFamily(headers: Fields, family: HeaderFamily): Read {
  const parts = PARTS[family];
  const read: Read = { id: undefined, timestamp: undefined, signature: undefined, repeated: undefined };
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const part = parts.get(name);
    if (part === undefined) continue;
    if (read[part] !== undefined) read.repeated = name;
    read[part] = headers[i + 1];
  }
  return read;
}

function isAbsent({ id, timestamp, signature }: Read): boolean {
  return id === undefined && timestamp === undefined && signature === undefined;
}

/** An id holds no full stop: `a.1` signed at `2` would otherwise be `a` signed at `1.2`. */
const ID = /^[\x21-\x2d\x2f-\x7e]{1,256}$/;
const TIMESTAMP = /^[1-9]\d{0,11}$/;
const SIGNATURE = /^([^\s,]+),([\x21-\x7e]+)$/;

function parse({ id, timestamp, signature: list }: Read, family: HeaderFamily): Claimed | Refusal {
  if (id === undefined || timestamp === undefined || list === undefined) {
    return { reason: 'signature.missing', detail: `not all of ${family}-id, -timestamp, -signature` };
  }
  if (!ID.test(id)) return malformed('id');
  if (!TIMESTAMP.test(timestamp)) return malformed('timestamp');
  const texts = list.split(' ', MOST_SIGNATURES + 1);
  if (texts.length > MOST_SIGNATURES) return malformed(`more than ${MOST_SIGNATURES} signatures`);
  const signatures = [];
  for (const text of texts) {
    const [, version, signature] = SIGNATURE.exec(text) ?? [];
    if (version === undefined || signature === undefined) return malformed('signature');
    signatures.push({ version, text: signature });
  }
  return { id, timestamp, signatures };
}

function malformed(detail: string): Refusal {
  return { reason: 'signature.malformed', detail };
}

function holds(
  { version, key }: SignatureKey,
  { id, timestamp, signatures }: Claimed,
  body: Buffer,
): boolean {
  const prefix = `${id}.${timestamp}.`;
  if (version === 'v1') {
    // Compared as base64 text: decoding first would let several spellings of one signature through.
    const expected = Buffer.from(
      createHmac('sha256', key).update(prefix).update(body).digest('base64'),
      'latin1',
    );
    return signatures.some(({ version, text }) => {
      if (version !== 'v1' || text.length !== expected.length) return false;
      return timingSafeEqual(Buffer.from(text, 'latin1'), expected);
    });
  }
  const signed = Buffer.concat([Buffer.from(prefix, 'latin1'), body]);
  return signatures.some(({ version, text }) => {
    const signature = Buffer.from(text, 'base64');
    if (version !== 'v1a' || signature.length !== 64 || signature.toString('base64') !== text) return false;
    return verify(undefined, signed, key, signature);
  });
}
