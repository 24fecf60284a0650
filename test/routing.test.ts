import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { connect, post, type RequestOptions } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const common = { addresses: 'any', upstream: 'app' };
  const client = (value: string) => ({ headers: { 'x-codat-clientid': value } });
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    routes: [
      { name: 'events', path: '/codat/events', methods: ['POST', 'PUT'], ...common },
      { name: 'codat', path: '/codat/*', ...common },
      { name: 'deep', path: '/codat/deep/*', ...common },
      { name: 'events-at-host', path: '/codat/events', host: 'hooks.example.com', ...common },
      { name: 'all-at-host', path: '/*', host: 'hooks.example.com', ...common },
      { name: 'plain', path: '/client', ...common },
      { name: 'client-a', path: '/client', ...client('a'), ...common },
      { name: 'client-b', path: '/client', ...client('b'), ...common },
      {
        name: 'client-a-eu',
        path: '/client',
        headers: { 'x-codat-clientid': 'a', 'x-region': 'eu' },
        ...common,
      },
      { name: 'only-post', path: '/only', methods: ['POST'], ...client('a'), ...common },
      {
        name: 'sender',
        path: '/sender',
        sender: 'codat',
        signature: { secrets: [`whsec_${'a'.repeat(32)}`] },
        ...common,
      },
      { name: 'strict', path: '/strict/path', certificate: { names: ['CN:nobody'] }, ...common },
      { name: 'lax', path: '/strict/*', ...common },
    ],
  });
});

async function routeOf(options: RequestOptions): Promise<string | undefined> {
  const record = await expectDelivered(gateway, await post(gateway, options));
  const seen = await upstream.request((one) => headerOf(one, 'x-request-id') === record.id);
  expect(headerOf(seen, 'x-postern-route')).toBe(record.route);
  return record.route;
}

const notFound = (options: RequestOptions) =>
  expectRefused(gateway, upstream, () => post(gateway, options), 404, 'route.not_found');

const atHost = 'hooks.example.com';
const header = (name: string, value: string) => ({ headers: [[name, value]] as [string, string][] });

describe('rank', () => {
  test.each<[string, RequestOptions]>([
    ['events', { path: '/codat/events' }],
    ['events', { path: '/codat/events?a=1' }],
    ['codat', { path: '/codat/' }],
    ['codat', { path: '/codat/other' }],
    ['codat', { path: '/codat/deep' }],
    ['deep', { path: '/codat/deep/' }],
    ['deep', { path: '/codat/deep/er/still' }],
    ['codat', { path: '/codat/deeper' }],
    ['events-at-host', { path: '/codat/events', host: atHost }],
    ['all-at-host', { path: '/codat/deep/er', host: atHost }],
    ['all-at-host', { path: '/', host: atHost }],
    ['plain', { path: '/client' }],
    ['plain', { path: '/client', ...header('x-codat-clientid', 'c') }],
    ['plain', { path: '/client', ...header('x-codat-clientid', 'A') }],
    ['client-a', { path: '/client', ...header('X-Codat-ClientId', 'a') }],
    ['client-b', { path: '/client', ...header('x-codat-clientid', 'b') }],
    [
      'client-a-eu',
      {
        path: '/client',
        headers: [
          ['x-region', 'eu'],
          ['x-codat-clientid', 'a'],
        ],
      },
    ],
    ['plain', { path: '/client', ...header('x-region', 'eu') }],
  ])('%s is chosen for %j', async (name, options) => {
    expect(await routeOf(options)).toBe(name);
  });
});

describe('the host', () => {
  test.each(['HOOKS.example.com', 'hooks.example.com:8443', 'Hooks.Example.Com:1'])(
    'matches as %s',
    async (host) => {
      expect(await routeOf({ path: '/codat/events', host })).toBe('events-at-host');
    },
  );
  test.each(['hooks.example.com.evil.org', 'xhooks.example.com', 'example.com'])(
    'does not match as %s',
    async (host) => {
      expect(await routeOf({ path: '/codat/events', host })).toBe('events');
    },
  );
});

describe('no route', () => {
  test.each<RequestOptions>([
    { path: '/' },
    { path: '/codat' },
    { path: '/codatx/events' },
    { path: '/client/' },
    { path: '/only' },
    { path: '/only', ...header('x-codat-clientid', 'b') },
  ])('%j is 404', async (options) => {
    await notFound(options);
  });
});

test('a repeated header that chooses between routes is malformed', async () => {
  const act = () =>
    post(gateway, {
      path: '/only',
      headers: [
        ['x-codat-clientid', 'a'],
        ['x-codat-clientid', 'b'],
      ],
    });
  await expectRefused(gateway, upstream, act, 400, 'request.malformed');
});

test('a refused HEAD has a head alone, and the connection goes on', async () => {
  const connection = await connect(gateway);
  const answer = await post(gateway, { path: '/nowhere', method: 'HEAD', on: connection });
  expect([answer.status, (await gateway.record(answer.id)).reason]).toEqual([404, 'route.not_found']);
  await expectDelivered(gateway, await post(gateway, { path: '/client', on: connection }));
  connection.close();
});

describe('a look-alike of a stricter exact route is 404, never handed to the prefix route', () => {
  test.each([
    '/strict/PATH',
    '/Strict/path',
    '/strict/path/',
    '/strict/path.',
    '/strict/path;a=1',
    '/strict;x/path',
    '/strict/p%61th',
    '/%73trict/path',
    '/STRICT/path/',
    '/strict/path;',
    '/strict/path%20',
    '/strict./path',
    '/strict/path%3bx',
    '/strict/p%41th/',
  ])('%s', async (path) => {
    await notFound({ path });
  });
  test('but other paths below the prefix go through', async () => {
    expect(await routeOf({ path: '/strict/paths' })).toBe('lax');
    expect(await routeOf({ path: '/strict/path/below' })).toBe('lax');
    await expectRefused(
      gateway,
      upstream,
      () => post(gateway, { path: '/strict/path' }),
      403,
      'certificate.not_allowed',
    );
  });
});

describe('the method', () => {
  test.each(['POST', 'PUT'])('%s is among the listed', async (method) => {
    expect(await routeOf({ path: '/codat/events', method, body: 'x' })).toBe('events');
  });
  test.each(['GET', 'DELETE', 'PATCH', 'OPTIONS'])('%s is not, and Allow says which are', async (method) => {
    const { answer } = await expectRefused(
      gateway,
      upstream,
      () => post(gateway, { path: '/codat/events', method }),
      405,
      'route.method_not_allowed',
    );
    expect(answer.header('allow')).toBe('POST, PUT');
  });
  test('the sender’s methods count where the route names none', async () => {
    const act = () => post(gateway, { path: '/sender', method: 'GET' });
    const { answer, record } = await expectRefused(gateway, upstream, act, 405, 'route.method_not_allowed');
    expect(answer.header('allow')).toBe('POST, PUT');
    expect([record.route, record.sender]).toEqual(['sender', 'codat']);
  });
  test.each(['GET', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'])(
    '%s passes where neither names any',
    async (method) => {
      expect(await routeOf({ path: '/client', method })).toBe('plain');
    },
  );
  test('TRACE never passes', async () => {
    const act = () => post(gateway, { path: '/client', method: 'TRACE' });
    await expectRefused(gateway, upstream, act, 405, 'route.method_not_allowed');
  });
});
