import { createPublicKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { HmacRule, PublicKeyRule } from '../src/signature-settings.ts';
import { ruleOf, type Sent, verdictOf } from './support/schemes.ts';
import * as vectors from './support/vectors.ts';

/** By the declaration that comes with Postern: what a sender publishes tests its profile as well as the scheme. */
const check = (sender: string, secret: string, sent: Sent, epochS = 0) =>
  verdictOf(ruleOf(sender), [secret], sent, epochS * 1000);
const digest = expect.stringMatching(/^sha256:[\da-f]{64}$/);
const FORM = ['content-type', 'application/x-www-form-urlencoded; charset=utf-8'] as const;

describe('published vectors', () => {
  const { github, stripe, slack, pagerduty, wise, adyen, twilio } = vectors;
  const cases: [string, string, Sent, number, unknown][] = [
    [
      'github',
      github.secret,
      { headers: [['x-hub-signature-256', github.signature]], body: github.body },
      0,
      { secret: 0, messageId: digest },
    ],
    [
      'stripe',
      stripe.secret,
      { headers: [['stripe-signature', stripe.signature]], body: stripe.body },
      stripe.epochS,
      { secret: 0, messageId: 'evt_123' },
    ],
    [
      'slack',
      slack.secret,
      {
        headers: [
          ['x-slack-request-timestamp', String(slack.epochS)],
          ['x-slack-signature', slack.signature],
        ],
        body: slack.body,
      },
      slack.epochS,
      { secret: 0, messageId: digest },
    ],
    [
      'pagerduty',
      pagerduty.secret,
      { headers: [['x-pagerduty-signature', pagerduty.signature]], body: pagerduty.body },
      0,
      { secret: 0, messageId: digest },
    ],
    [
      'wise',
      wise.publicKey,
      { headers: [['x-signature-sha256', wise.signature]], body: wise.body },
      0,
      { secret: 0, messageId: digest },
    ],
    [
      'adyen',
      adyen.secret,
      { headers: [['hmacsignature', adyen.signature]], body: adyen.body },
      0,
      { secret: 0, messageId: digest },
    ],
    ...twilio.requests.map(([url, body, signature], index): (typeof cases)[number] => [
      'twilio',
      twilio.secret,
      {
        url,
        headers: [
          body === twilio.hashed ? ['content-type', 'application/json'] : FORM,
          ['x-twilio-signature', signature],
        ],
        body,
      },
      index,
      { secret: 0 },
    ]),
  ];

  test.each(cases)('%s %#', (sender, secret, sent, epochS, verdict) => {
    expect(check(sender, secret, sent, epochS)).toEqual(verdict);
  });

  test.each(cases)('%s %#, and for no other message', (sender, secret, sent, epochS) => {
    const body = Buffer.from(sent.body);
    for (const other of [
      Buffer.concat([body, Buffer.from('\n')]),
      Buffer.concat([Buffer.from('\ufeff'), body]),
      body.subarray(0, -1),
      Buffer.alloc(0),
    ]) {
      // A form may be spelt in several ways, and none of these is one of them.
      expect(check(sender, secret, { ...sent, body: other }, epochS).reason).toMatch(
        /^signature\.(?:mismatch|malformed)$/,
      );
    }
  });

  test('shopify: no published vector found; one of a third party (sqlpage/SQLPage) holds', () => {
    const body = '{"id":1234567890,"email":"customer@example.com","total_price":"123.45"}';
    const signature = 'QNyObTlKbMx2qDlPF/ZOZcBqg5OgPg+2oky3zldc0Gw=';
    const sent = { headers: [['x-shopify-hmac-sha256', signature]] as const, body };
    expect(check('shopify', 'test-webhook-secret', sent)).toEqual({ secret: 0, messageId: digest });
  });

  // No published vector found for linear, fireblocks and fireblocks-jws; gitlab's token has nothing to compute. Their
  // schemes are tested by what the RFCs publish, below, and the profiles through a gateway in senders.test.ts.
});

/** A rule with nothing in it but what a test gives. */
const bare = {
  header: 'x-signature',
  prefix: '',
  separator: undefined,
  content: [{ place: 'body' }],
  timestamp: undefined,
  toleranceMs: 300_000,
  id: { from: 'none' },
  bodyHash: undefined,
  origin: undefined,
} as const;

describe('the mathematics, by the vectors of the RFCs', () => {
  const { rfcHmac, rfcEd25519 } = vectors;

  test.each(['sha1', 'sha256', 'sha512'] as const)('HMAC with %s, in every encoding', (algorithm) => {
    for (const encoding of ['hex', 'base64', 'base64url'] as const) {
      const rule: HmacRule = { ...bare, scheme: 'hmac', algorithm, encoding, secretEncoding: 'text' };
      const signature = Buffer.from(rfcHmac[algorithm], 'hex').toString(encoding);
      const headers = [['x-signature', signature]] as const;
      expect(verdictOf(rule, [rfcHmac.secret], { headers, body: rfcHmac.body })).toEqual({ secret: 0 });
      expect(verdictOf(rule, ['jefe'], { headers, body: rfcHmac.body }).reason).toBe('signature.mismatch');
    }
  });

  test.each([
    ['text', 'Jefe'],
    ['hex', '4a656665'],
    ['base64', 'SmVmZQ=='],
  ] as const)('a secret written as %s', (secretEncoding, secret) => {
    const rule: HmacRule = { ...bare, scheme: 'hmac', algorithm: 'sha256', encoding: 'hex', secretEncoding };
    const headers = [['x-signature', rfcHmac.sha256]] as const;
    expect(verdictOf(rule, [secret], { headers, body: rfcHmac.body })).toEqual({ secret: 0 });
  });

  test.each(['hex', 'base64', 'base64url'] as const)('Ed25519, in %s', (encoding) => {
    const x = Buffer.from(rfcEd25519.publicKey, 'hex').toString('base64url');
    const pem = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    const rule: PublicKeyRule = { ...bare, scheme: 'public-key', algorithm: 'ed25519', encoding };
    const keys = [pem.export({ format: 'pem', type: 'spki' }).toString()];
    const signature = Buffer.from(rfcEd25519.signature, 'hex').toString(encoding);
    const headers = [['x-signature', signature]] as const;
    const body = Buffer.from(rfcEd25519.body, 'hex');
    expect(verdictOf(rule, keys, { headers, body })).toEqual({ secret: 0 });
    expect(verdictOf(rule, keys, { headers, body: 'r ' }).reason).toBe('signature.mismatch');
  });
});
