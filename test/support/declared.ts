import { createHmac } from 'node:crypto';
import type { HmacRule, PublicKeyRule } from '../../src/signature-settings.ts';
import type { Verdict } from '../../src/types.ts';
import { type Sent, verdictOf } from './schemes.ts';

export type Headers = (readonly [string, string])[];

export const SECRET = 'a-secret-of-these-tests-alone';
export const NOW_S = 1_700_000_000;
export const mac = (
  text: string | Buffer,
  algorithm = 'sha256',
  encoding: 'hex' | 'base64' | 'base64url' = 'hex',
) => createHmac(algorithm, SECRET).update(text).digest(encoding);
export const check = (
  rule: HmacRule | PublicKeyRule,
  headers: Headers,
  body: string | Buffer,
  more: Partial<Sent> = {},
) => verdictOf(rule, [SECRET], { headers, body, ...more }, NOW_S * 1000);

/** Everything that a header can hold: several signatures, time and id, beside the body. */
export const full: HmacRule = {
  scheme: 'hmac',
  algorithm: 'sha256',
  encoding: 'hex',
  secretEncoding: 'text',
  header: 'x-signature',
  prefix: 'v1=',
  separator: ',',
  content: [{ place: 'id' }, { text: '.' }, { place: 'timestamp' }, { text: '.' }, { place: 'body' }],
  timestamp: { element: 't=', unitMs: 1000 },
  toleranceMs: 300_000,
  id: { from: 'header', name: 'x-id' },
  bodyHash: undefined,
  origin: undefined,
};
export const plain: HmacRule = {
  ...full,
  prefix: '',
  separator: undefined,
  content: [{ place: 'body' }],
  timestamp: undefined,
  id: { from: 'content' },
};
export const signed = (at: number | string = NOW_S, id = 'an-id', body = '{}'): Headers => [
  ['x-id', id],
  ['x-signature', `t=${at},v1=${mac(`${id}.${at}.${body}`)}`],
];

/** The id of a message that passed; `undefined`: it did not, or has none. */
export const idOf = (verdict: Verdict): string | undefined =>
  'messageId' in verdict ? verdict.messageId : undefined;
