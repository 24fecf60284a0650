import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ruleOf, verdictOf } from './support/schemes.ts';

describe('signatures by a private key', () => {
  const pairs = {
    one: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    two: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  };
  const pem = (pair: typeof pairs.one) => pair.publicKey.export({ format: 'pem', type: 'spki' }).toString();
  const keys = [pem(pairs.two), pem(pairs.one)];
  const body = '{"id":"evt_1"}';
  const rsa = (digest: string, text: string, padding?: number) =>
    sign(digest, Buffer.from(text), { key: pairs.one.privateKey, ...(padding !== undefined && { padding }) });

  test('hold with the algorithm that is declared, and no other', () => {
    const rule = ruleOf('fireblocks');
    const verdict = (signature: string) =>
      verdictOf(rule, keys, { headers: [['fireblocks-signature', signature]], body });
    expect(verdict(rsa('sha512', body).toString('base64'))).toEqual({ secret: 1, messageId: 'evt_1' });
    expect(verdict(rsa('sha256', body).toString('base64')).reason).toBe('signature.mismatch');
    // The padding of PSS under the same key.
    expect(verdict(rsa('sha512', body, 6).toString('base64')).reason).toBe('signature.mismatch');
    expect(verdict(rsa('sha512', `${body} `).toString('base64')).reason).toBe('signature.mismatch');
    for (const text of [
      '',
      '*',
      rsa('sha512', body).toString('hex').slice(1),
      'A'.repeat(2052),
      `${rsa('sha512', body).toString('base64')}\n`,
    ])
      expect(verdict(text).reason).toBe('signature.malformed');
  });

  test('in a JWS without its payload hold over the body alone, with the algorithm of the rule', () => {
    const rule = ruleOf('fireblocks-jws');
    const jws = (header: unknown, digest = 'sha512', payload = body) => {
      const head = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header)).toString(
        'base64url',
      );
      const signature = rsa(digest, `${head}.${Buffer.from(payload).toString('base64url')}`);
      return `${head}..${signature.toString('base64url')}`;
    };
    const reason = (text: string) =>
      verdictOf(rule, keys, { headers: [['fireblocks-webhook-signature', text]], body }).reason;
    const right = jws({ alg: 'RS512', kid: 'a' });
    expect(reason(right)).toBe(undefined);
    expect(reason(jws({ alg: 'RS512' }, 'sha512', '{}'))).toBe('signature.mismatch');
    expect(reason(jws({ alg: 'RS512' }, 'sha256'))).toBe('signature.mismatch');
    const [head, , end] = right.split('.');
    for (const text of [
      jws({ alg: 'RS256' }, 'sha256'),
      jws({ alg: 'none' }),
      jws({ alg: 'HS512' }),
      jws({ alg: 'RS512', crit: ['b64'], b64: false }),
      jws({}),
      jws('null'),
      jws('no JSON'),
      `${head}.${Buffer.from(body).toString('base64url')}.${end}`,
      `${head}..${end}.`,
      `${head}..`,
      `..${end}`,
      `${head}.${end}`,
    ])
      expect([text, reason(text)]).toEqual([text, 'signature.malformed']);
  });
});
