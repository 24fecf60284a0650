import { createHmac, generateKeyPairSync, randomUUID, sign as signBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { post, signatureHeaders } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

type Headers = [string, string][];

const first = newSecret(24);
const second = newSecret(75);
const bare = newSecret().replace('whsec_', '');
const pair = generateKeyPairSync('ed25519');
const publicKey = `whpk_${pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64')}`;
const body = '{"eventType":"signature.test","payload":{"sum":1.10}}';
const now = (): number => Math.floor(Date.now() / 1000);

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const route = (name: string, secrets: string[], more: Record<string, unknown> = {}) => ({
    name,
    path: `/${name}`,
    addresses: 'any',
    upstream: 'app',
    signature: { scheme: 'standard-webhooks', secrets, ...more },
  });
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    routes: [
      route('one', [first]),
      route('two', [first, second, bare]),
      route('mixed', [first, publicKey]),
      route('strict', [first], { tolerance: '30s' }),
    ],
  });
});

const send = (path: string, headers: Headers, payload: string | Buffer = body) =>
  post(gateway, { path, headers, body: payload });
const refused = (path: string, headers: Headers, reason: string, payload: string | Buffer = body) =>
  expectRefused(gateway, upstream, () => send(path, headers, payload), 401, reason);
const passes = async (path: string, headers: Headers, payload: string | Buffer = body) =>
  expectDelivered(gateway, await send(path, headers, payload));
const signed = (more: Partial<Parameters<typeof signatureHeaders>[1]> = {}, payload = body): Headers =>
  signatureHeaders(payload, { secret: first, ...more });
const replaced = (headers: Headers, name: string, value: string): Headers =>
  headers.map(([own, old]) => [own, own === name ? value : old]);

/** Signs bytes as they are, which `svix` cannot. */
function signRaw(payload: Buffer | string, id: string, timestamp: string, secret = first): Headers {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const mac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(payload).digest('base64');
  return [
    ['webhook-id', id],
    ['webhook-timestamp', timestamp],
    ['webhook-signature', `v1,${mac}`],
  ];
}
const rawId = (): string => `msg_${randomUUID()}`;

describe('a signature that holds', () => {
  test('passes; the record says which secret matched and the message id; the upstream gets headers and bytes as sent', async () => {
    const headers = signed({ id: 'msg_first' });
    const record = await passes('/two', headers);
    expect([record.secret, record.message_id, record.bytes]).toEqual([0, 'msg_first', body.length]);
    const seen = await upstream.request((one) => headerOf(one, 'x-request-id') === record.id);
    for (const [name, value] of headers) expect(headerOf(seen, name)).toBe(value);
    expect(seen.body.toString()).toBe(body);
  });

  test.each([
    [first, 0],
    [second, 1],
    [bare, 2],
  ])('matches by any configured secret, case %#', async (secret, place) => {
    expect((await passes('/two', signed({ secret }))).secret).toBe(place);
  });

  test('may stand anywhere in a list of up to 64, beside versions nobody knows', async () => {
    const headers = signed();
    const right = headers[2]?.[1] ?? '';
    const others = [`v9,${'A'.repeat(44)}`, ...Array.from({ length: 62 }, () => `v1,${'A'.repeat(43)}=`)];
    await passes('/one', replaced(headers, 'webhook-signature', [...others, right].join(' ')));
    const tooMany = [...others, `v1,${'B'.repeat(43)}=`, right].join(' ');
    await refused('/one', replaced(signed(), 'webhook-signature', tooMany), 'signature.malformed');
  });

  test.each(['', 'x', 'not json', ' {"a" : 1}\r\n', '{"ä":"€"}'])(
    'covers whatever the body is: %j',
    async (payload) => {
      await passes('/one', signed({}, payload), payload);
    },
  );

  test('covers the bytes: a body that is no UTF-8 holds only under its own signature', async () => {
    const [one, other] = [Buffer.from([0xff, 0x00, 0x80]), Buffer.from([0xfe, 0x00, 0x80])];
    const headers = signRaw(one, rawId(), String(now()));
    await refused('/one', headers, 'signature.mismatch', other);
    await passes('/one', headers, one);
  });

  test('by Ed25519 (v1a) passes, and says so by its place', async () => {
    const [id, timestamp] = [rawId(), String(now())];
    const signature = signBytes(null, Buffer.from(`${id}.${timestamp}.${body}`), pair.privateKey).toString(
      'base64',
    );
    const headers: Headers = [
      ['webhook-id', id],
      ['webhook-timestamp', timestamp],
      ['webhook-signature', `v1a,${signature}`],
    ];
    await refused('/one', headers, 'signature.mismatch');
    await refused('/mixed', replaced(headers, 'webhook-signature', `v1,${signature}`), 'signature.mismatch');
    await refused('/mixed', headers, 'signature.mismatch', `${body} `);
    expect((await passes('/mixed', headers)).secret).toBe(1);
    expect((await passes('/mixed', signed())).secret).toBe(0);
  });

  test('an id of 256 characters passes, of 257 it does not', async () => {
    await passes('/one', signed({ id: 'a'.repeat(256) }));
    await refused('/one', signed({ id: 'a'.repeat(257) }), 'signature.malformed');
  });
});

describe('signature.missing and signature.repeated', () => {
  test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])('%s', async (name) => {
    await refused(
      '/one',
      signed().filter(([own]) => own !== name),
      'signature.missing',
    );
    const headers = signed();
    const again = headers.find(([own]) => own === name) as [string, string];
    await refused('/one', [...headers, again], 'signature.repeated');
    await refused('/one', [[name.toUpperCase(), 'x'], ...headers], 'signature.repeated');
  });
  test('none at all', async () => {
    const { record } = await refused('/one', [], 'signature.missing');
    expect([record.message_id, record.secret]).toEqual([undefined, undefined]);
  });
});

describe('signature.malformed', () => {
  test.each([
    '0',
    '01700000000',
    '+1700000000',
    '-1700000000',
    '1700000000junk',
    '1700000000.5',
    '1e9',
    '0x65',
    '1700000000000',
    '１７',
  ])('the timestamp %s', async (timestamp) => {
    await refused(
      '/one',
      replaced(signed(), 'webhook-timestamp', Buffer.from(timestamp).toString('latin1')),
      'signature.malformed',
    );
  });
  test.each(['a.b', 'a b', '.', 'é', 'msg\t1'])('the id %j, although its signature holds', async (id) => {
    const latin1 = Buffer.from(id).toString('latin1');
    await refused('/one', signRaw(body, latin1, String(now())), 'signature.malformed');
  });
  test.each(['junk', 'v1', ',', 'v1;abc'])('the signature %j', async (signature) => {
    await refused('/one', replaced(signed(), 'webhook-signature', signature), 'signature.malformed');
  });
});

describe('the clock', () => {
  test('five minutes by default, on both sides', async () => {
    await passes('/one', signed({ timestampS: now() - 290 }));
    await passes('/one', signed({ timestampS: now() + 290 }));
    await refused('/one', signed({ timestampS: now() - 310 }), 'signature.stale');
    await refused('/one', signed({ timestampS: now() + 310 }), 'signature.early');
    await refused('/one', signed({ timestampS: 1 }), 'signature.stale');
    await refused('/one', signRaw(body, rawId(), '999999999999'), 'signature.early');
  });
  test('as configured', async () => {
    await passes('/strict', signed({ timestampS: now() - 20 }));
    await refused('/strict', signed({ timestampS: now() - 40 }), 'signature.stale');
    await refused('/strict', signed({ timestampS: now() + 40 }), 'signature.early');
  });
});

describe('signature.mismatch', () => {
  const swaps: [string, () => Headers, string][] = [
    ['another body', () => signed(), body.replace('1.10', '1.1')],
    ['a newline more', () => signed(), `${body}\n`],
    ['another id', () => replaced(signed(), 'webhook-id', 'msg_other'), body],
    [
      'another timestamp',
      () => replaced(signed({ timestampS: now() - 9 }), 'webhook-timestamp', String(now())),
      body,
    ],
    ['another secret', () => signed({ secret: newSecret() }), body],
    ['a secret of another route', () => signed({ secret: second }), body],
    [
      'another letter case',
      () =>
        signed().map(([name, value]) => [
          name,
          name === 'webhook-signature' ? value.replace(/,.*/, (text) => text.toLowerCase()) : value,
        ]),
      body,
    ],
  ];
  test.each(swaps)('%s', async (_what, headers, payload) => {
    const { record } = await refused('/one', headers(), 'signature.mismatch', payload);
    expect([record.message_id, record.secret]).toEqual([undefined, undefined]);
  });
});
