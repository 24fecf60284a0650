import { createHash, createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { HmacRule } from '../src/signature-settings.ts';
import { idOf } from './support/declared.ts';
import { ruleOf, verdictOf } from './support/schemes.ts';
import { twilio } from './support/vectors.ts';

const rule = ruleOf('twilio') as HmacRule;
const FORM = 'application/x-www-form-urlencoded';
const URL_OF = 'a.example/hook';
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const mark = (signed: string): string => createHmac('sha1', twilio.secret).update(signed).digest('base64');

/** @param signed what its sender signed behind the URL */
const send = (
  body: string | Buffer,
  signed: string,
  type: string | undefined = FORM,
  url = URL_OF,
  by = rule,
) =>
  verdictOf(by, [twilio.secret], {
    url,
    headers: [
      ['x-twilio-signature', mark(`https://${url}${signed}`)],
      ...(type === '' ? [] : [['content-type', type] as const]),
    ],
    body,
  });

describe('the fields of a form', () => {
  test.each([
    ['in the order of their names', 'b=2&a=1', 'a1b2'],
    ['decoded', 'a=%C3%BC+%2B', 'aü +'],
    ['without a value', 'a=&b', 'ab'],
    ['each value once, where a name repeats', 'a=2&a=1&a=1', 'a1a2'],
    ['of no name', '=1', '1'],
  ])('are signed %s', (_what, body, signed) => {
    expect(send(body, signed)).toEqual({ secret: 0 });
  });

  test.each([
    ['a broken escape', 'a=%zz'],
    ['an escape that is no UTF-8', 'a=%ff'],
    ['bytes that are no UTF-8', Buffer.from('a=\xff', 'latin1')],
    ['more than 1000', Array.from({ length: 1001 }, (_, index) => `a${index}=`).join('&')],
  ])('with %s are refused before anything is compared', (_what, body) => {
    expect(send(body, '').reason).toBe('signature.malformed');
  });

  test.each(['application/json', '', 'text/plain; x=application/x-www-form-urlencoded', `${FORM}x`])(
    'are not looked for in a body of another type: %j',
    (type) => {
      expect(send('a=1', 'a1', type).reason).toBe('signature.malformed');
    },
  );
});

describe('a body that is no form', () => {
  const body = '{"a":1}';
  const url = `${URL_OF}?bodySHA256=${sha256(body)}`;

  test('is signed by its hash in the URL', () => {
    expect(send(body, '', 'application/json', url)).toEqual({ secret: 0 });
    expect(send(body, '', 'application/json', url.replace(sha256(body), sha256(body).toUpperCase()))).toEqual(
      { secret: 0 },
    );
  });

  test.each([
    ['taken away', '', 'application/json'],
    ['taken away, and called a form', '', FORM],
    ['exchanged', '{"a":2}', 'application/json'],
    ['exchanged for a form', 'a=2', FORM],
  ])('cannot be %s under the same URL', (_what, other, type) => {
    expect(send(other, '', type, url).reason).toBe('signature.mismatch');
  });

  test('is the one of one hash', () => {
    expect(send(body, '', 'application/json', `${url}&bodySHA256=${sha256('')}`).reason).toBe(
      'signature.malformed',
    );
  });

  test('is refused where no hash is signed', () => {
    expect(send(body, '', 'application/json').reason).toBe('signature.malformed');
  });
});

describe('a URL', () => {
  test('is the one that origin says, where the sender knows another', () => {
    const own = { ...rule, origin: 'http://public.example:8080' };
    const signature = mark('http://public.example:8080/hook?a=bA1');
    const sent = {
      url: 'inside.example/hook?a=b',
      headers: [
        ['x-twilio-signature', signature],
        ['content-type', FORM],
      ] as const,
      body: 'A=1',
    };
    expect(verdictOf(own, [twilio.secret], sent)).toEqual({ secret: 0 });
    expect(verdictOf(rule, [twilio.secret], sent).reason).toBe('signature.mismatch');
  });

  test('is signed whole: path, query, and their spelling', () => {
    const signature = mark(`https://${URL_OF}?a=b`);
    for (const url of [
      `${URL_OF}?a=c`,
      URL_OF,
      'a.example/Hook?a=b',
      'b.example/hook?a=b',
      'a.example/hook?a=%62',
    ]) {
      const headers = [['x-twilio-signature', signature]] as const;
      expect(verdictOf(rule, [twilio.secret], { url, headers, body: '' }).reason).toBe('signature.mismatch');
    }
  });

  test('is part of the digest that a route may ask for as the id', () => {
    const known = { ...rule, id: { from: 'content' } } as const;
    const first = idOf(send('b=2&a=1', 'a1b2', FORM, URL_OF, known));
    expect(first).toMatch(/^sha256:/);
    expect(idOf(send('a=1&b=2', 'a1b2', FORM, URL_OF, known))).toBe(first);
    expect(idOf(send('a=1&b=2', 'a1b2', FORM, `${URL_OF}?x`, known))).not.toBe(first);
  });
});
