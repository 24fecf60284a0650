import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { HmacRule } from '../src/signature-settings.ts';
import { check, full, type Headers, idOf, mac, NOW_S, plain, signed } from './support/declared.ts';
import { ruleOf } from './support/schemes.ts';

describe('an id', () => {
  test.each([
    ['the mark behind it', 'a.1'],
    ['white space', 'a b'],
    ['a letter that is no ASCII', 'ä'],
    ['nothing', ''],
    ['257 characters', 'a'.repeat(257)],
  ])('with %s is refused, though it is signed', (_what, id) => {
    expect(check(full, signed(NOW_S, id), '{}').reason).toBe('signature.malformed');
  });

  test('cannot take a part of the time', () => {
    const [, signature] = signed(NOW_S, 'a', '{}');
    expect(check(full, [['x-id', `a.${NOW_S}`], signature as [string, string]], '{}').reason).toBe(
      'signature.malformed',
    );
  });

  test('that is the digest of what is signed leaves out the time: a retry is signed anew', () => {
    const rule = ruleOf('slack') as HmacRule;
    const at = (seconds: number, body: string) => {
      const headers: Headers = [
        ['x-slack-request-timestamp', String(seconds)],
        ['x-slack-signature', `v0=${mac(`v0:${seconds}:${body}`)}`],
      ];
      return idOf(check(rule, headers, body));
    };
    expect(at(NOW_S, 'a=b')).toMatch(/^sha256:[\da-f]{64}$/);
    expect(at(NOW_S - 60, 'a=b')).toBe(at(NOW_S, 'a=b'));
    expect(at(NOW_S, 'a=c')).not.toBe(at(NOW_S, 'a=b'));
  });

  test('is none where an empty body is all that is signed: one such message would swallow all others', () => {
    expect(check(plain, [['x-signature', mac('')]], '')).toEqual({ secret: 0 });
    const sha256 = createHash('sha256').update('{}').digest('hex');
    expect(check(plain, [['x-signature', mac('{}')]], '{}')).toEqual({
      secret: 0,
      messageId: `sha256:${sha256}`,
    });
  });

  test('may stand in the signed body; where it does not, the digest stands for it', () => {
    const rule: HmacRule = { ...plain, id: { from: 'body', path: ['event', 'id'] } };
    const named = (body: string) => idOf(check(rule, [['x-signature', mac(body)]], body));
    expect(named('{"event":{"id":"evt_1"}}')).toBe('evt_1');
    for (const body of [
      '{"event":{"id":1}}',
      '{"event":{"id":"a b"}}',
      '{"id":"evt_1"}',
      'no JSON',
      '[]',
      '{"event":{"id":""}}',
    ])
      expect(named(body)).toMatch(/^sha256:/);
  });
});

describe('a time in the signed body', () => {
  const rule = ruleOf('linear') as HmacRule;
  const at = (value: unknown) => {
    const body = JSON.stringify({ action: 'create', webhookTimestamp: value });
    return check(rule, [['linear-signature', mac(body)]], body).reason;
  };

  test('counts as one in a header does', () => {
    expect(at(NOW_S * 1000)).toBe(undefined);
    expect(at(NOW_S * 1000 - 61_000)).toBe('signature.stale');
    expect(at(NOW_S * 1000 + 61_000)).toBe('signature.early');
    for (const value of [undefined, null, String(NOW_S * 1000), NOW_S * 1000 + 0.5, {}, true])
      expect(at(value)).toBe('signature.malformed');
  });

  test('is read only when the signature holds', () => {
    expect(check(rule, [['linear-signature', '0'.repeat(64)]], '{"webhookTimestamp":1}').reason).toBe(
      'signature.mismatch',
    );
  });
});
