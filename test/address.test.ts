import { once } from 'node:events';
import net from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    routes: [
      { name: 'one', path: '/one', addresses: ['127.0.0.1'], upstream: 'app' },
      { name: 'net', path: '/net', addresses: ['127.0.1.0/24', '127.0.0.2'], upstream: 'app' },
    ],
  });
});

/** Connects without TLS and says nothing; resolves with every byte the gateway sent before it closed. */
async function knock(from: string): Promise<string> {
  const socket = net.connect({ host: '127.0.0.1', port: gateway.port, localAddress: from });
  let bytes = '';
  socket.on('data', (chunk) => {
    bytes += chunk.toString('latin1');
  });
  // A reset is as good a close as any: what counts is that nothing was said.
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return bytes;
}

test.each(['127.0.0.3', '127.0.2.1', '127.1.1.1'])(
  '%s, which no route allows, is closed before TLS',
  async (from) => {
    const before = upstream.heads();
    expect(await knock(from)).toBe('');
    const line = await gateway.line(
      (one) => one.msg === 'connection refused' && JSON.stringify(one.peer).includes(from),
    );
    expect({ reason: line.reason, peer: line.peer }).toEqual({
      reason: 'address.not_allowed',
      peer: { address: from },
    });
    expect(upstream.heads()).toBe(before);
  },
);

test('an address that only another route allows is answered 403', async () => {
  await expectDelivered(gateway, await post(gateway, { path: '/one', from: '127.0.0.1' }));
  const { record } = await expectRefused(
    gateway,
    upstream,
    () => post(gateway, { path: '/one', from: '127.0.0.2' }),
    403,
    'address.not_allowed',
  );
  expect(record.peer.address).toBe('127.0.0.2');
});

test.each(['127.0.0.2', '127.0.1.0', '127.0.1.255'])('%s is inside the other route’s list', async (from) => {
  await expectDelivered(gateway, await post(gateway, { path: '/net', from }));
});

test('an IPv4-mapped address is judged and recorded as IPv4, IPv6 as itself', async () => {
  const dual = await startGateway({
    listen: { address: '::', port: 0 },
    upstreams: { app: upstream.url },
    routes: [
      { name: 'four', path: '/four', addresses: ['127.0.0.1'], upstream: 'app' },
      { name: 'six', path: '/six', addresses: ['::/64'], upstream: 'app' },
    ],
  });
  const four = await expectDelivered(dual, await post(dual, { path: '/four', host: 'localhost' }));
  expect(four.peer.address).toBe('127.0.0.1');
  // ::ffff:127.0.0.1 lies in ::/64 as a number; as an address it does not.
  await expectRefused(dual, upstream, () => post(dual, { path: '/six' }), 403, 'address.not_allowed');
  expect(await dual.stop()).toBe(0);
});

test('IPv6 senders are judged and recorded by their address', async () => {
  const six = await startGateway({
    listen: { address: '::1', port: 0 },
    upstreams: { app: upstream.url },
    routes: [
      { name: 'in', path: '/in', addresses: ['::1'], upstream: 'app' },
      { name: 'out', path: '/out', addresses: ['2001:db8::/32'], upstream: 'app' },
    ],
  });
  const record = await expectDelivered(six, await post(six, { path: '/in', to: '::1' }));
  expect(record.peer.address).toBe('::1');
  await expectRefused(
    six,
    upstream,
    () => post(six, { path: '/out', to: '::1' }),
    403,
    'address.not_allowed',
  );
  expect(await six.stop()).toBe(0);
});
