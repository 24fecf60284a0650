import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const bearer = randomBytes(24).toString('base64url');
const password = `p:${randomBytes(12).toString('base64url')}`;
const key = randomBytes(18).toString('base64url');
const fromEnv = (name: string): string => `\${${name}}`;
const basic = (user: string, pass: string): string =>
  `Basic ${Buffer.from(`${user}:${pass}`).toString('base64')}`;

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const common = { addresses: 'any', upstream: 'app' };
  const all = [
    { bearer: fromEnv('BEARER') },
    { basic: { username: 'codat', password: fromEnv('PASSWORD') } },
    { header: { name: 'x-api-key', value: fromEnv('KEY') } },
  ];
  gateway = await startGateway(
    {
      upstreams: { app: upstream.url },
      routes: [
        { name: 'bearer', path: '/bearer', authorization: [{ bearer: fromEnv('BEARER') }], ...common },
        {
          name: 'basic',
          path: '/basic',
          authorization: [{ basic: { username: 'codat', password: fromEnv('PASSWORD') } }],
          ...common,
        },
        {
          name: 'header',
          path: '/header',
          authorization: [{ header: { name: 'X-Api-Key', value: fromEnv('KEY') } }],
          ...common,
        },
        { name: 'all', path: '/all', authorization: all, ...common },
        { name: 'pass', path: '/pass', authorization: all, pass_credentials: true, ...common },
        { name: 'open', path: '/open', ...common },
      ],
    },
    { env: { BEARER: bearer, PASSWORD: password, KEY: key } },
  );
});

type Headers = [string, string][];
const auth = (value: string): Headers => [['Authorization', value]];
const send = (path: string, headers: Headers) => post(gateway, { path, headers });

async function through(path: string, headers: Headers) {
  const record = await expectDelivered(gateway, await send(path, headers));
  return await upstream.request((one) => headerOf(one, 'x-request-id') === record.id);
}

describe('the right credential passes and does not reach the upstream', () => {
  test.each<[string, Headers]>([
    ['/bearer', auth(`Bearer ${bearer}`)],
    ['/bearer', auth(`bearer ${bearer}`)],
    ['/bearer', [['authorization', `BEARER ${bearer}`]]],
    ['/basic', auth(basic('codat', password))],
    ['/basic', auth(basic('codat', password).replace('Basic', 'basic'))],
    ['/header', [['x-api-key', key]]],
    ['/all', auth(`Bearer ${bearer}`)],
    ['/all', auth(basic('codat', password))],
    ['/all', [['X-API-KEY', key]]],
  ])('%s, case %#', async (path, headers) => {
    const seen = await through(path, headers);
    expect([headerOf(seen, 'authorization'), headerOf(seen, 'x-api-key')]).toEqual([undefined, undefined]);
  });
});

describe('the wrong credential', () => {
  test.each<[string, Headers, string]>([
    ['/bearer', [], 'authorization.missing'],
    ['/basic', [], 'authorization.missing'],
    ['/header', [], 'authorization.missing'],
    ['/all', [], 'authorization.missing'],
    ['/bearer', auth(`Bearer ${bearer}x`), 'authorization.wrong'],
    ['/bearer', auth(`Bearer ${bearer.slice(0, -1)}`), 'authorization.wrong'],
    ['/bearer', auth(`Bearer ${bearer.toUpperCase()}`), 'authorization.wrong'],
    ['/basic', auth(basic('codat', `${password}x`)), 'authorization.wrong'],
    ['/basic', auth(basic('Codat', password)), 'authorization.wrong'],
    ['/basic', auth(basic('', password)), 'authorization.wrong'],
    ['/header', [['x-api-key', `${key}x`]], 'authorization.wrong'],
    ['/all', auth('Bearer nothing-of-the-kind'), 'authorization.wrong'],
    ['/bearer', auth(bearer), 'authorization.malformed'],
    ['/bearer', auth('Bearer'), 'authorization.malformed'],
    ['/basic', auth('Basic !!!!'), 'authorization.malformed'],
    ['/basic', auth(`Basic ${Buffer.from('no colon').toString('base64')}`), 'authorization.malformed'],
  ])('%s case %# is %3$s', async (path, headers, reason) => {
    const { answer } = await expectRefused(gateway, upstream, () => send(path, headers), 401, reason);
    expect(answer.values('www-authenticate').length).toBeGreaterThan(0);
  });

  test('WWW-Authenticate names the scheme that the route takes', async () => {
    expect((await send('/bearer', [])).header('www-authenticate')).toMatch(/^Bearer\b/);
    expect((await send('/basic', [])).header('www-authenticate')).toMatch(/^Basic realm="/);
  });

  test('another scheme than the configured one is refused', async () => {
    const { record } = await expectRefused(
      gateway,
      upstream,
      () => send('/bearer', auth(basic('codat', password))),
      401,
      'authorization.wrong',
    );
    expect(record.detail ?? '').not.toContain(password);
  });
});

describe('a repeated header', () => {
  test.each(['/bearer', '/basic', '/all', '/open'])(
    'Authorization twice is refused on %s, even with equal values',
    async (path) => {
      const twice: Headers = [...auth(`Bearer ${bearer}`), ['authorization', `Bearer ${bearer}`]];
      await expectRefused(gateway, upstream, () => send(path, twice), 401, 'authorization.repeated');
      const mixed: Headers = [...auth('Bearer wrong'), ['authorization', `Bearer ${bearer}`]];
      await expectRefused(gateway, upstream, () => send(path, mixed), 401, 'authorization.repeated');
    },
  );

  test('the custom header twice is refused', async () => {
    const twice: Headers = [
      ['x-api-key', key],
      ['X-Api-Key', key],
    ];
    await expectRefused(gateway, upstream, () => send('/header', twice), 401, 'authorization.repeated');
    await expectRefused(gateway, upstream, () => send('/all', twice), 401, 'authorization.repeated');
  });
});

describe('credentials towards the upstream', () => {
  test('pass_credentials hands them on', async () => {
    expect(headerOf(await through('/pass', auth(`Bearer ${bearer}`)), 'authorization')).toBe(
      `Bearer ${bearer}`,
    );
    expect(headerOf(await through('/pass', [['x-api-key', key]]), 'x-api-key')).toBe(key);
  });

  test('on a route without authorization the sender’s own Authorization is not consumed and passes', async () => {
    expect(headerOf(await through('/open', auth('Bearer for-the-upstream')), 'authorization')).toBe(
      'Bearer for-the-upstream',
    );
  });
});
