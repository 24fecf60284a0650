import { createHmac, generateKeyPairSync, randomUUID, sign } from 'node:crypto';

export type Headers = [string, string][];

/** One sender of those that come with a profile, signing as its documentation says and not as the gateway reads it. */
export interface SigningSender {
  readonly name: string;
  /** The secrets that its route is given; the public keys, where it signs with a private one. */
  readonly keys: readonly [string, string];
  readonly isPublic: boolean;
  /** The header that a nearest mistake is made in. */
  readonly header: string;
  /** How far from the gateway's clock it may sign, in seconds; `undefined`: it signs no time. */
  readonly toleranceS: number | undefined;
  /** A value that is none at all. */
  readonly malformed: string | undefined;
  /** A header that names the delivery and is not signed. */
  readonly unsigned: string | undefined;
  /** A new event. @param atS when it is signed */
  body(atS: number): string;
  /** @param by which of its keys signs; 2: one that the route does not know */
  headers(body: string, atS: number, by: 0 | 1 | 2): Headers;
}

const secrets = [0, 1, 2].map((place) => `secret-${place}-of-${randomUUID()}`) as [string, string, string];
const pairs = [0, 1, 2].map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }));
const pem = (place: number): string =>
  pairs[place]?.publicKey.export({ format: 'pem', type: 'spki' }).toString() ?? '';
const mac = (by: number, text: string, encoding: 'hex' | 'base64' = 'hex', algorithm = 'sha256'): string =>
  createHmac(algorithm, secrets[by] ?? '')
    .update(text)
    .digest(encoding);
const rsa = (by: number, digest: string, text: string): Buffer => {
  const pair = pairs[by];
  if (pair === undefined) throw new Error(`there is no key ${by}`);
  return sign(digest, Buffer.from(text), pair.privateKey);
};
const json = (more: object = {}): string =>
  JSON.stringify({ id: `evt_${randomUUID()}`, type: 'a.b', ...more });

const hmacSender = {
  keys: [secrets[0], secrets[1]],
  isPublic: false,
  toleranceS: undefined,
  malformed: 'no-signature',
  unsigned: undefined,
  body: () => json(),
} as const;
const keySender = { ...hmacSender, keys: [pem(0), pem(1)], isPublic: true } as const;

/** @param path the one that Twilio was told, without the host */
export function twilioHeaders(body: string, path: string, by: 0 | 1 | 2): Headers {
  const fields = `Body${/Body=([^&]*)/.exec(body)?.[1]}To+1800`;
  return [
    ['Content-Type', 'application/x-www-form-urlencoded'],
    ['X-Twilio-Signature', mac(by, `https://localhost${path}${fields}`, 'base64', 'sha1')],
  ];
}

export const SENDERS: readonly SigningSender[] = [
  {
    ...hmacSender,
    name: 'github',
    header: 'X-Hub-Signature-256',
    unsigned: 'X-GitHub-Delivery',
    headers: (body, _at, by) => [['X-Hub-Signature-256', `sha256=${mac(by, body)}`]],
  },
  {
    ...hmacSender,
    name: 'stripe',
    header: 'Stripe-Signature',
    toleranceS: 300,
    malformed: 't=1,v1=a,t=2',
    headers: (body, at, by) => [
      ['Stripe-Signature', `t=${at},v1=${mac(by, `${at}.${body}`)},v0=${'0'.repeat(64)}`],
    ],
  },
  {
    ...hmacSender,
    name: 'shopify',
    header: 'X-Shopify-Hmac-Sha256',
    unsigned: 'X-Shopify-Webhook-Id',
    headers: (body, _at, by) => [['X-Shopify-Hmac-Sha256', mac(by, body, 'base64')]],
  },
  {
    ...hmacSender,
    name: 'slack',
    header: 'X-Slack-Signature',
    toleranceS: 300,
    headers: (body, at, by) => [
      ['X-Slack-Request-Timestamp', String(at)],
      ['X-Slack-Signature', `v0=${mac(by, `v0:${at}:${body}`)}`],
    ],
  },
  {
    ...hmacSender,
    name: 'gitlab',
    header: 'X-Gitlab-Token',
    malformed: undefined,
    headers: (body, _at, by) => [
      ['Idempotency-Key', String(JSON.parse(body).id)],
      ['X-Gitlab-Token', secrets[by] ?? ''],
    ],
  },
  {
    ...hmacSender,
    name: 'pagerduty',
    header: 'X-PagerDuty-Signature',
    malformed: 'v1=no-signature',
    unsigned: 'X-Webhook-Id',
    headers: (body, _at, by) => [['X-PagerDuty-Signature', `v1=${'0'.repeat(64)},v1=${mac(by, body)}`]],
  },
  {
    ...keySender,
    name: 'wise',
    header: 'X-Signature-SHA256',
    unsigned: 'X-Delivery-Id',
    headers: (body, _at, by) => [['X-Signature-SHA256', rsa(by, 'sha256', body).toString('base64')]],
  },
  {
    ...keySender,
    name: 'fireblocks',
    header: 'Fireblocks-Signature',
    headers: (body, _at, by) => [['Fireblocks-Signature', rsa(by, 'sha512', body).toString('base64')]],
  },
  {
    ...keySender,
    name: 'fireblocks-jws',
    header: 'Fireblocks-Webhook-Signature',
    headers: (body, _at, by) => {
      const head = Buffer.from('{"alg":"RS512","kid":"a"}').toString('base64url');
      const signature = rsa(by, 'sha512', `${head}.${Buffer.from(body).toString('base64url')}`);
      return [['Fireblocks-Webhook-Signature', `${head}..${signature.toString('base64url')}`]];
    },
  },
  {
    ...hmacSender,
    name: 'twilio',
    header: 'X-Twilio-Signature',
    body: () => `To=%2B1800&Body=${randomUUID()}`,
    headers: (body, _at, by) => twilioHeaders(body, '/twilio', by),
  },
  {
    ...hmacSender,
    name: 'linear',
    header: 'Linear-Signature',
    toleranceS: 60,
    unsigned: 'Linear-Delivery',
    body: (at) => json({ webhookTimestamp: at * 1000 }),
    headers: (body, _at, by) => [['Linear-Signature', mac(by, body)]],
  },
  {
    ...hmacSender,
    name: 'adyen',
    keys: [Buffer.from(secrets[0]).toString('hex'), Buffer.from(secrets[1]).toString('hex')],
    header: 'HmacSignature',
    headers: (body, _at, by) => [['HmacSignature', mac(by, body, 'base64')]],
  },
];
