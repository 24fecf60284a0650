import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { post, type RequestOptions } from './support/sender.ts';
import { headerOf, headersOf, type SeenRequest, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const common = { addresses: 'any', upstream: 'app' };
  gateway = await startGateway(
    {
      upstreams: {
        app: upstream.url,
        keyed: { targets: [upstream.url], headers: { 'X-Internal-Key': `key-\${INTERNAL_KEY}` } },
      },
      routes: [
        { name: 'plain', path: '/plain', ...common },
        { name: 'keyed', path: '/keyed', addresses: 'any', upstream: 'keyed' },
        { name: 'codat', path: '/codat', sender: 'codat', signature: { secrets: [secret] }, ...common },
        { name: 'exact', path: '/exact', upstream_path: '/webhooks/in', ...common },
        { name: 'prefix', path: '/in/*', upstream_path: '/webhooks/', ...common },
        { name: 'rest', path: '/rest/*', ...common },
      ],
    },
    { env: { INTERNAL_KEY: '0123456789abcdef' } },
  );
});

async function through(options: RequestOptions): Promise<SeenRequest> {
  const record = await expectDelivered(gateway, await post(gateway, options));
  return await upstream.request((one) => headerOf(one, 'x-request-id') === record.id);
}

const namesOf = (seen: SeenRequest): string[] =>
  seen.rawHeaders.filter((_, place) => place % 2 === 0).map((name) => name.toLowerCase());

describe('stripped', () => {
  test.each([
    'Keep-Alive',
    'Proxy-Authorization',
    'Proxy-Connection',
    'Proxy-Authenticate',
    'TE',
    'Trailer',
    'Upgrade',
    'Forwarded',
    'X-Real-IP',
    'Client-Cert',
    'Client-Cert-Chain',
    'X-Client-Cert',
    'X-Client-Verify',
    'X-Forwarded-User',
    'X-Forwarded-Port',
    'X-Forwarded-Client-Cert',
    'X-Postern-Anything',
    'X-Postern-Sender',
    'X_Forwarded_For',
    'X-Forwarded_For',
    'x.real.ip',
    'Client_Cert',
    'webhook_id',
    'any.thing',
    'HTTP2-Settings',
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'X-Original-Method',
    'X-Original-URL',
    'X-Original-URI',
    'X-Original-Host',
    'X-Rewrite-URL',
    'X-Envoy-Original-Path',
    'X-Host',
    'X-HTTP-Host-Override',
    'True-Client-IP',
    'CF-Connecting-IP',
    'CF-Connecting-IPv6',
    'Fastly-Client-IP',
    'X-Cluster-Client-IP',
    'X-Azure-ClientIP',
    'X-Envoy-External-Address',
    'X-Originating-IP',
    'X-Remote-IP',
    'X-Remote-Addr',
    'X-Remote-User',
    'Remote-User',
    'X-Authenticated-User',
    'X-ARR-ClientCert',
    'SSL-Client-Verify',
    'X-SSL-Client-Cert',
    'X-Amzn-Mtls-Clientcert-Subject',
    'X-Auth-Request-User',
    'X-WebAuth-User',
  ])('%s', async (name) => {
    const seen = await through({ path: '/plain', headers: [[name, 'forged-value']], body: 'x' });
    expect(seen.rawHeaders.join('\n')).not.toContain('forged-value');
    expect(namesOf(seen)).not.toContain(name.toLowerCase());
  });

  test.each([
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Host',
    'X-Request-Id',
    'X-Postern-Route',
    'x-FORWARDED-for',
  ])('%s of the sender, ours taking its place once', async (name) => {
    const seen = await through({
      path: '/plain',
      headers: [
        [name, 'forged-value'],
        [name, 'forged-value'],
      ],
      body: 'x',
    });
    expect(seen.rawHeaders.join('\n')).not.toContain('forged-value');
    expect(headersOf(seen, name)).toHaveLength(1);
  });
});

describe('set', () => {
  test('who sent it, how, to whom, by which route', async () => {
    const seen = await through({ path: '/plain', host: 'Hooks.Example.com:8443', body: 'x' });
    const names = [
      'x-forwarded-for',
      'x-forwarded-proto',
      'x-forwarded-host',
      'x-postern-route',
      'x-postern-sender',
    ];
    expect(names.map((name) => headerOf(seen, name))).toEqual([
      '127.0.0.1',
      'https',
      'Hooks.Example.com:8443',
      'plain',
      undefined,
    ]);
    expect(headerOf(seen, 'traceparent')).toMatch(
      /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/,
    );
  });

  test('X-Postern-Sender where the route has one', async () => {
    const seen = await through({ path: '/codat', body: '{}', sign: { secret } });
    expect([headerOf(seen, 'x-postern-route'), headerOf(seen, 'x-postern-sender')]).toEqual([
      'codat',
      'codat',
    ]);
  });

  test('the upstream’s own Host', async () => {
    expect(headerOf(await through({ path: '/plain', host: 'hooks.example.com', body: 'x' }), 'host')).toBe(
      upstream.authority,
    );
  });

  test('the headers of the upstream’s configuration, over the sender’s', async () => {
    const seen = await through({ path: '/keyed', headers: [['x-internal-key', 'guess']], body: 'x' });
    expect(headersOf(seen, 'x-internal-key')).toEqual(['key-0123456789abcdef']);
  });

  test('a traceparent of a trace once, never twice', async () => {
    const own = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const seen = await through({ path: '/plain', headers: [['traceparent', own]], body: 'x' });
    expect(headersOf(seen, 'traceparent')).toHaveLength(1);
    expect(headersOf(seen, 'traceparent')[0]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/);
  });
});

test('everything else passes as it came: order and repetition of values, empty values, odd bytes', async () => {
  const headers: [string, string][] = [
    ['Content-Type', 'application/json; charset=utf-8'],
    ['User-Agent', 'Svix-Webhooks/1.0'],
    ['X-Many', 'one'],
    ['X-Many', 'two, three'],
    ['X-Empty', ''],
    ['X-Quoted', '"a\\"b" ; c=\td'],
    ['Accept', '*/*'],
    ['X-Codat-ClientId', '4f2c1e'],
    ['Cookie', 'a=b; c=d'],
  ];
  const seen = await through({ path: '/plain', headers, body: 'x' });
  expect(headersOf(seen, 'x-many')).toEqual(['one', 'two, three']);
  for (const [name, value] of headers) expect(headersOf(seen, name)).toContain(value);
});

describe('framing towards the upstream', () => {
  test.each([undefined, 3])(
    'is one Content-Length, whatever the sender used (chunks of %s)',
    async (chunkBytes) => {
      const seen = await through({
        path: '/plain',
        body: 'a body',
        ...(chunkBytes === undefined ? {} : { chunkBytes }),
      });
      expect([headersOf(seen, 'content-length'), headersOf(seen, 'transfer-encoding')]).toEqual([['6'], []]);
      expect([seen.method, seen.body.toString()]).toEqual(['POST', 'a body']);
    },
  );
  test('a GET without a body stays without one', async () => {
    const seen = await through({ path: '/plain', method: 'GET' });
    expect([seen.method, headersOf(seen, 'content-length'), headersOf(seen, 'transfer-encoding')]).toEqual([
      'GET',
      [],
      [],
    ]);
  });
});

describe('the target', () => {
  test.each([
    ['/plain', '/plain'],
    ['/plain?', '/plain?'],
    ['/plain?a=1&b=%20c&a=2', '/plain?a=1&b=%20c&a=2'],
    ['/exact', '/webhooks/in'],
    ['/exact?x=/y/../z', '/webhooks/in?x=/y/../z'],
    ['/in/', '/webhooks/'],
    ['/in/a/b;c=1?d', '/webhooks/a/b;c=1?d'],
    ['/in/%41%20b', '/webhooks/%41%20b'],
    ['/rest/a', '/rest/a'],
  ])('%s becomes %s', async (path, target) => {
    expect((await through({ path, body: 'x' })).target).toBe(target);
  });
});
