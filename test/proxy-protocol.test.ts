import { once } from 'node:events';
import net from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Config, type Gateway, startGateway } from './support/gateway.ts';
import { configText, reload } from './support/reload.ts';
import { type Connection, connect, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let gateway: Gateway;

const SENDER = '192.0.2.7';
const STRANGER = '198.51.100.9';
const SIX = '2001:db8::7';

const config = (listen: Config = {}): Config => ({
  listen: {
    address: '127.0.0.1',
    port: 0,
    proxy_protocol: true,
    trusted_proxies: ['127.0.0.2', '127.0.0.3'],
    ...listen,
  },
  limits: { handshake_timeout: '2s' },
  upstreams: { app: upstream.url },
  routes: [{ name: 'a', path: '/a', addresses: [SENDER, SIX], upstream: 'app' }],
});

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway(config());
});

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

/** A header of version 2. */
function version2(command: number, family: number, rest: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(rest.length);
  return Buffer.concat([SIGNATURE, Buffer.from([command, family]), length, rest]);
}

const PORTS = Buffer.from([0x12, 0x34, 0x20, 0xfb]);
const four = (source: string): Buffer =>
  Buffer.concat([Buffer.from([...source.split('.').map(Number), 127, 0, 0, 1]), PORTS]);
const six = Buffer.concat([
  Buffer.from('20010db8000000000000000000000007', 'hex'),
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  PORTS,
]);
const addition = (type: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value]);

/** RFC 3720 appendix B.4, by a table; the gateway's own goes bit by bit. */
function crc32c(bytes: Buffer): number {
  const table = Array.from({ length: 256 }, (_, index) => {
    let value = index;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    return value >>> 0;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = ((table[(crc ^ byte) & 255] as number) ^ (crc >>> 8)) >>> 0;
  return (crc ^ 0xffffffff) >>> 0;
}

/** With a checksum over all of it; `off` is added to it. */
function checked(block: Buffer, off = 0): Buffer {
  const zeroed = version2(0x21, 0x11, Buffer.concat([block, addition(3, Buffer.alloc(4))]));
  const right = Buffer.from(zeroed);
  right.writeUInt32BE((crc32c(zeroed) + off) >>> 0, right.length - 4);
  return right;
}

const V1 = `PROXY TCP4 ${SENDER} 127.0.0.1 4711 8443\r\n`;

/** A connection of the load balancer that begins with these bytes, in pieces. */
async function dial(pieces: readonly (string | Buffer)[], from = '127.0.0.2'): Promise<net.Socket> {
  const socket = net.connect({ host: '127.0.0.1', port: gateway.port, localAddress: from, noDelay: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  for (const piece of pieces) socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
  return socket;
}

async function through(pieces: readonly (string | Buffer)[], from?: string): Promise<Connection> {
  return connect(gateway, { tls: { socket: await dial(pieces, from) } });
}

/** Closed or reset: which of the two depends on what had still to be read. */
const ended = (socket: net.Socket): Promise<void> =>
  new Promise((resolve) => socket.once('close', () => resolve()));

/** Why the gateway closed a connection that began so: reason, detail and address; no byte came back. */
async function refusal(
  pieces: readonly (string | Buffer)[],
  from?: string,
): Promise<Record<string, unknown>> {
  const since = gateway.lines.length;
  const socket = await dial(pieces, from);
  let got = '';
  socket.on('data', (chunk) => {
    got += chunk;
  });
  await ended(socket);
  expect(got).toBe('');
  const { reason, detail, peer } = await gateway.line(({ msg }) => msg === 'connection refused', since);
  return { reason, detail, address: (peer as { address: string }).address };
}

describe('the address in the header is the sender’s', () => {
  test.each<[string, (string | Buffer)[], string]>([
    ['version 1, TCP4', [V1], SENDER],
    ['version 1, TCP6', [`PROXY TCP6 ${SIX} ::1 4711 8443\r\n`], SIX],
    ['version 1, mapped IPv4', [`PROXY TCP6 ::ffff:${SENDER} ::1 4711 8443\r\n`], SENDER],
    ['version 1, byte by byte', [...V1], SENDER],
    ['version 2, TCP4', [version2(0x21, 0x11, four(SENDER))], SENDER],
    ['version 2, TCP6', [version2(0x21, 0x21, six)], SIX],
    [
      'version 2, with additions that mean nothing here',
      [
        version2(
          0x21,
          0x11,
          Buffer.concat([
            four(SENDER),
            addition(0x02, Buffer.from('x.example')),
            addition(0xee, Buffer.alloc(300)),
          ]),
        ),
      ],
      SENDER,
    ],
    ['version 2, with a checksum that is right', [checked(four(SENDER))], SENDER],
    [
      'version 2, in two pieces',
      [version2(0x21, 0x11, four(SENDER)).subarray(0, 9), version2(0x21, 0x11, four(SENDER)).subarray(9)],
      SENDER,
    ],
  ])('%s', async (_what, pieces, address) => {
    const connection = await through(pieces);
    const before = upstream.requests.length;
    const answer = await post(gateway, { path: '/a', on: connection, body: 'x' });
    const record = await expectDelivered(gateway, answer);
    expect(record.peer.address).toBe(address);
    const seen = upstream.requests[before];
    expect(seen && headerOf(seen, 'x-forwarded-for')).toBe(address);
    connection.close();
  });

  test('one that no route lets in is closed before TLS', async () => {
    expect(await refusal([V1.replace(SENDER, STRANGER)])).toEqual({
      reason: 'address.not_allowed',
      detail: undefined,
      address: STRANGER,
    });
  });

  test('X-Forwarded-For of the sender says nothing', async () => {
    const connection = await through([V1]);
    const answer = await post(gateway, {
      path: '/a',
      on: connection,
      body: 'x',
      headers: [['X-Forwarded-For', STRANGER]],
    });
    expect((await expectDelivered(gateway, answer)).peer.address).toBe(SENDER);
  });

  test('header, handshake and request may come in one piece', async () => {
    // The client hello right behind the header, in one write: nothing of it is lost.
    const relay = net.createServer((sender) => {
      const onward = net.connect({ host: '127.0.0.1', port: gateway.port, localAddress: '127.0.0.3' });
      sender.once('data', (hello) => {
        onward.write(Buffer.concat([Buffer.from(V1), Buffer.from(hello)]));
        sender.pipe(onward).pipe(sender);
      });
      for (const socket of [sender, onward]) socket.on('error', () => undefined);
    });
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const { port } = relay.address() as net.AddressInfo;
    const connection = await connect({ ...gateway, port });
    await expectDelivered(gateway, await post(gateway, { path: '/a', on: connection, body: 'x' }));
    connection.close();
    relay.close();
  });
});

describe('a load balancer that speaks for itself keeps its own address', () => {
  test.each([
    ['version 1, UNKNOWN', 'PROXY UNKNOWN\r\n'],
    ['version 1, UNKNOWN with addresses', `PROXY UNKNOWN ${SENDER} 127.0.0.1 1 2\r\n`],
    ['version 2, LOCAL', version2(0x20, 0x00, Buffer.alloc(0))],
    ['version 2, LOCAL with addresses', version2(0x20, 0x11, four(SENDER))],
    ['version 2, PROXY of an unspecified family', version2(0x21, 0x00, addition(0xee, Buffer.alloc(2)))],
  ])('%s: let into TLS, and judged by the route', async (_what, header) => {
    const connection = await through([header]);
    const act = () => post(gateway, { path: '/a', on: connection, body: 'x' });
    const { record } = await expectRefused(gateway, upstream, act, 403, 'address.not_allowed');
    expect(record.peer.address).toBe('127.0.0.2');
  });
});

describe('what is not a header of a trusted proxy closes the connection', () => {
  const malformed = (detail: string) => ({
    reason: 'request.malformed',
    detail: `PROXY header: ${detail}`,
    address: '127.0.0.2',
  });

  test('another peer, with a header or without', async () => {
    const refused = { reason: 'address.not_allowed', detail: 'not a trusted proxy', address: '127.0.0.1' };
    expect(await refusal([V1], '127.0.0.1')).toEqual(refused);
    expect(await refusal([], '127.0.0.1')).toEqual(refused);
  });

  test.each<[string, string | Buffer, string]>([
    ['a client hello', Buffer.from('1603010200010001fc0303', 'hex'), 'no PROXY header'],
    ['a request in the clear', 'POST /a HTTP/1.1\r\n', 'no PROXY header'],
    ['lower case', V1.toLowerCase(), 'no PROXY header'],
    [
      'a line that ends with LF',
      `${V1.replace('\r\n', '\n')}${'x'.repeat(107)}`,
      'version 1: no end of line',
    ],
    ['a line of 108 characters', `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`, 'version 1: no end of line'],
    ['two spaces', V1.replace('TCP4 ', 'TCP4  '), 'version 1: line'],
    ['an address of the other family', V1.replace('TCP4', 'TCP6'), 'version 1: line'],
    ['a host name', V1.replace(SENDER, 'example.com'), 'version 1: line'],
    ['an address with leading zeros', V1.replace(SENDER, '192.0.02.7'), 'version 1: line'],
    ['a port beyond 65535', V1.replace('4711', '65536'), 'version 1: line'],
    ['a port with a leading zero', V1.replace('4711', '04711'), 'version 1: line'],
    ['no ports', `PROXY TCP4 ${SENDER} 127.0.0.1\r\n`, 'version 1: line'],
    ['UDP4 in version 1', V1.replace('TCP4', 'UDP4'), 'version 1: line'],
    ['version 3', version2(0x31, 0x11, four(SENDER)), 'version 2: command'],
    ['an unknown command', version2(0x22, 0x11, four(SENDER)), 'version 2: command'],
    ['UDP in version 2', version2(0x21, 0x12, four(SENDER)), 'version 2: family'],
    ['a unix socket', version2(0x21, 0x31, Buffer.alloc(216)), 'version 2: family'],
    ['addresses cut short', version2(0x21, 0x11, four(SENDER).subarray(0, 11)), 'version 2: addresses'],
    ['IPv6 with the length of IPv4', version2(0x21, 0x21, four(SENDER)), 'version 2: addresses'],
    [
      'an addition cut short',
      version2(0x21, 0x11, Buffer.concat([four(SENDER), Buffer.from([0xee, 0, 9, 1])])),
      'version 2: addition cut short',
    ],
    [
      'the rest of an addition missing',
      version2(0x21, 0x11, Buffer.concat([four(SENDER), Buffer.from([0xee, 0])])),
      'version 2: addition cut short',
    ],
    ['a checksum that is wrong', checked(four(SENDER), 1), 'version 2: checksum'],
    [
      'a checksum of two bytes',
      version2(0x21, 0x11, Buffer.concat([four(SENDER), addition(3, Buffer.alloc(2))])),
      'version 2: checksum',
    ],
    ['more than 4 KiB', version2(0x21, 0x11, Buffer.alloc(4097)), 'version 2: length'],
  ])('%s', async (_what, header, detail) => {
    expect(await refusal([header])).toEqual(malformed(detail));
  });

  test.each<[string, (string | Buffer)[]]>([
    ['nothing at all', []],
    ['a header that does not end', [V1.slice(0, 20)]],
    ['a header of version 2 that does not end', [version2(0x21, 0x11, four(SENDER)).subarray(0, 20)]],
  ])('%s, within handshake_timeout', async (_what, pieces) => {
    expect(await refusal(pieces)).toEqual(malformed('too late'));
  });
});

test('a reload changes whom is believed, without a restart', async () => {
  const own = await startGateway(config());
  const since = own.lines.length;
  await reload(own, { 'postern.yaml': configText(config({ proxy_protocol: false, trusted_proxies: [] })) });
  const socket = net.connect({ host: '127.0.0.1', port: own.port, localAddress: '127.0.0.2' });
  socket.on('error', () => undefined);
  socket.write(V1);
  await ended(socket);
  const line = await own.line(({ msg }) => msg === 'connection refused', since);
  expect(line).toMatchObject({ reason: 'address.not_allowed', peer: { address: '127.0.0.2' } });
});
