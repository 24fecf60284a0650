import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

type Headers = [string, string][];

const SECRET = 'a-secret-of-these-routes-alone';
const pair = generateKeyPairSync('ed25519');
let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const route = (name: string, more: object) => ({
    name,
    path: `/${name}`,
    addresses: 'any',
    upstream: 'app',
    ...more,
  });
  gateway = await startGateway(
    {
      upstreams: { app: upstream.url },
      routes: [
        route('timed', {
          signature: {
            scheme: 'hmac',
            secrets: [SECRET],
            header: 'X-Sign',
            algorithm: 'sha512',
            encoding: 'base64',
            timestamp: { header: 'X-Time', unit: 'ms' },
            id: { header: 'X-Id' },
            content: '{id}|{timestamp}|{method}|{body}',
            tolerance: '10s',
          },
        }),
        route('own', { sender: 'acme', signature: { public_keys: [`\${file:acme.pem}`] } }),
        route('ours', { sender: 'stripe', signature: { secrets: [SECRET] }, certificate: 'none' }),
      ],
      tls: {
        certificate: 'server.pem',
        private_key: 'server.key',
        client_ca: 'ca.pem',
        client_certificate: 'optional',
      },
    },
    {
      files: {
        'acme.pem': pair.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
        'senders/acme.yaml': [
          'title: Acme',
          'documentation: https://acme.example/webhooks',
          'methods: [POST]',
          'client_certificate: true',
          'signature: { scheme: public-key, header: acme-signature, algorithm: ed25519, encoding: hex }',
          'deadline: 10s',
          'retries: none',
          'event: { type: [type] }',
        ].join('\n'),
      },
    },
  );
});

const body = (id: string) => JSON.stringify({ type: 'a.b', id });

test('a route declares a scheme of its own', async () => {
  const at = Date.now();
  const signed = (id: string, time: number, method = 'POST'): Headers => [
    ['X-Id', id],
    ['X-Time', String(time)],
    [
      'X-Sign',
      createHmac('sha512', SECRET)
        .update(`${id}|${time}|${method}|${body(id)}`)
        .digest('base64'),
    ],
  ];
  const send = (headers: Headers, id: string) => post(gateway, { path: '/timed', headers, body: body(id) });
  const record = await expectDelivered(gateway, await send(signed('one', at), 'one'));
  expect(record).toMatchObject({ message_id: 'one', secret: 0 });
  await expectDuplicate(gateway, await send(signed('one', at + 1), 'one'));
  // The id is signed: a new one for an old event is a forgery.
  const renamed = signed('one', at).map(([name, value]) => [
    name,
    name === 'X-Id' ? 'two' : value,
  ]) as Headers;
  const refused = (headers: Headers, reason: string) =>
    expectRefused(gateway, upstream, () => send(headers, 'one'), 401, reason);
  await refused(renamed, 'signature.mismatch');
  await refused(signed('one', at, 'PUT'), 'signature.mismatch');
  await refused(signed('one', at - 12_000), 'signature.stale');
  await refused(signed('one', at + 12_000), 'signature.early');
  await refused(signed('one', Math.floor(at / 1000)), 'signature.stale');
  await refused([...signed('one', at), ['x-time', String(at)]], 'signature.repeated');
});

test('a profile of somebody else stands beside ours', async () => {
  const text = body('acme');
  const signature = sign(null, Buffer.from(text), pair.privateKey).toString('hex');
  const send = (value: string) =>
    post(gateway, { path: '/own', headers: [['Acme-Signature', value]], body: text });
  await expectDelivered(gateway, await send(signature));
  await expectDuplicate(gateway, await send(signature.toUpperCase()));
  await expectRefused(
    gateway,
    upstream,
    () => send(signature.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))),
    401,
    'signature.mismatch',
  );
  await expectRefused(gateway, upstream, () => send('no hex'), 401, 'signature.malformed');

  const at = Math.floor(Date.now() / 1000);
  const mac = createHmac('sha256', SECRET).update(`${at}.${text}`).digest('hex');
  const headers: Headers = [['Stripe-Signature', `t=${at},v1=${mac}`]];
  await expectDelivered(
    gateway,
    await post(gateway, { path: '/ours', identity: 'none', headers, body: text }),
  );
});
