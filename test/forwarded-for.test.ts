import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Config, type Gateway, startGateway } from './support/gateway.ts';
import { connect, post } from './support/sender.ts';
import { headersOf, startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let gateway: Gateway;

const SENDER = '192.0.2.7';
const STRANGER = '198.51.100.9';
/** The load balancer, and one behind it. */
const PROXY = '127.0.0.2';
const INNER = '10.1.2.3';

const config = (listen: Config): Config => ({
  listen: { address: '127.0.0.1', port: 0, ...listen },
  upstreams: { app: upstream.url },
  routes: [
    { name: 'a', path: '/a', addresses: [SENDER, '2001:db8::7'], upstream: 'app' },
    {
      name: 'counted',
      path: '/counted',
      addresses: 'any',
      upstream: 'app',
      rate_limit: { rate: '1/h', by: 'address' },
    },
  ],
});

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway(
    config({ forwarded_for: true, trusted_proxies: [PROXY, '10.0.0.0/8', '2001:db8:ffff::/48'] }),
  );
});

const send = (fields: readonly string[], from = PROXY, path = '/a') =>
  post(gateway, {
    path,
    from,
    body: 'x',
    headers: fields.map((value): [string, string] => ['X-Forwarded-For', value]),
  });

describe('from a trusted proxy, walked from the right, the first that is not trusted is the sender', () => {
  test.each<[string, string[], string]>([
    ['one address', [SENDER], SENDER],
    ['behind what the sender wrote itself', [`${STRANGER}, 203.0.113.1, ${SENDER}`], SENDER],
    ['in front of trusted ones', [`${SENDER}, ${INNER}, 2001:db8:ffff::1`], SENDER],
    ['in several fields, which are one list', [STRANGER, `${SENDER},${INNER}`], SENDER],
    ['with a port', [`${SENDER}:4711`], SENDER],
    ['IPv6, which is recorded in one spelling', ['2001:DB8:0:0::7'], '2001:db8::7'],
    ['IPv6 with a port', ['[2001:db8::7]:4711'], '2001:db8::7'],
    ['IPv4 mapped into IPv6', [`::ffff:${SENDER}`], SENDER],
    ['an unreadable word before it', [`unknown, ${SENDER}`], SENDER],
  ])('%s', async (_what, fields, address) => {
    const before = upstream.requests.length;
    const record = await expectDelivered(gateway, await send(fields));
    expect(record.peer.address).toBe(address);
    const seen = upstream.requests[before];
    expect(seen && headersOf(seen, 'x-forwarded-for')).toEqual([address]);
  });

  test.each<[string, string[]]>([
    ['a stranger', [STRANGER]],
    ['a stranger behind an allowed address that it wrote itself', [`${SENDER}, ${STRANGER}`]],
    ['no field: the proxy itself', []],
    ['nobody but trusted proxies', [`${INNER}, ${INNER}`]],
  ])('%s is not on the list of addresses', async (_what, fields) => {
    await expectRefused(gateway, upstream, () => send(fields), 403, 'address.not_allowed');
  });

  test.each([
    ['a word', 'unknown'],
    ['an empty entry', `${SENDER},`],
    ['nothing', ''],
    ['an obfuscated name', '_hidden'],
    ['an address with a zone', 'fe80::1%eth0'],
    ['a port beyond five digits', `${SENDER}:471100`],
    ['octets beyond 255', '192.0.2.256'],
  ])('%s at the place that counts is refused as malformed', async (_what, value) => {
    const act = () => send([value]);
    const { record } = await expectRefused(gateway, upstream, act, 400, 'request.malformed');
    expect(record.detail).toBe('X-Forwarded-For');
  });
});

test('each request on one connection has its own sender', async () => {
  const connection = await connect(gateway, { from: PROXY });
  const over = (address: string) =>
    post(gateway, { path: '/a', on: connection, body: 'x', headers: [['X-Forwarded-For', address]] });
  expect((await expectDelivered(gateway, await over(SENDER))).peer.address).toBe(SENDER);
  await expectRefused(gateway, upstream, () => over(STRANGER), 403, 'address.not_allowed');
  expect((await expectDelivered(gateway, await over('2001:db8::7'))).peer.address).toBe('2001:db8::7');
});

test('a rate by address counts senders, not the proxy', async () => {
  await expectDelivered(gateway, await send(['203.0.113.5'], PROXY, '/counted'));
  await expectDelivered(gateway, await send(['203.0.113.6'], PROXY, '/counted'));
  const again = () => send(['203.0.113.5'], PROXY, '/counted');
  await expectRefused(gateway, upstream, again, 429, 'rate.exceeded');
});

test('from anybody else the field says nothing', async () => {
  const act = () => send([SENDER], '127.0.0.1');
  const { record } = await expectRefused(gateway, upstream, act, 403, 'address.not_allowed');
  expect(record.peer.address).toBe('127.0.0.1');
});

test('a trusted proxy is not closed before TLS though no route lists it; another stranger is', async () => {
  const { routes, ...rest } = config({ forwarded_for: true, trusted_proxies: [PROXY] });
  const listed = await startGateway({ ...rest, routes: (routes as Config[]).slice(0, 1) });
  const answer = await post(listed, {
    path: '/a',
    from: PROXY,
    body: 'x',
    headers: [['X-Forwarded-For', SENDER]],
  });
  await expectDelivered(listed, answer);
  const since = listed.lines.length;
  await expect(connect(listed, { from: '127.0.0.9' })).rejects.toThrow();
  const line = await listed.line(({ msg }) => msg === 'connection refused', since);
  expect(line).toMatchObject({ reason: 'address.not_allowed', peer: { address: '127.0.0.9' } });
});

test('without forwarded_for it is not believed of anybody', async () => {
  const deaf = await startGateway(config({ trusted_proxies: [PROXY] }));
  const answer = await post(deaf, {
    path: '/counted',
    from: PROXY,
    body: 'x',
    headers: [['X-Forwarded-For', SENDER]],
  });
  expect((await expectDelivered(deaf, answer)).peer.address).toBe(PROXY);
});
