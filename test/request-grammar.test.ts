import { once } from 'node:events';
import net from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { connect, requestBytes } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    // Everything that is understood is let through, so that nothing but the grammar can refuse it.
    routes: [{ name: 'all', path: '/*', addresses: 'any', upstream: 'app' }],
  });
});

/** What a parser that takes the first request for shorter than it is would serve next. */
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n';
const host = 'Host: localhost\r\n';
const withFields = (fields: string, body = ''): string => `POST /any HTTP/1.1\r\n${host}${fields}\r\n${body}`;
const chunks = (body: string): string => withFields('Transfer-Encoding: chunked\r\n', body);

/** The request and a second one behind it get exactly one answer, and the upstream sees neither. */
async function expectMalformed(bytes: string): Promise<void> {
  const before = upstream.heads();
  const connection = await connect(gateway);
  connection.send(bytes + SMUGGLED);
  const answer = await connection.answer();
  await expectProblem(gateway, answer, 400, 'request.malformed');
  expect(answer.header('connection')).toBe('close');
  expect(await connection.closed()).toBe('');
  expect(upstream.heads()).toBe(before);
}

describe('request.malformed: the request line', () => {
  test.each([
    'GET /any\r\n\r\n',
    `GET /any HTTP/1.0\r\n${host}\r\n`,
    `GET /any HTTP/2.0\r\n${host}\r\n`,
    `GET /any HTTP/1.2\r\n${host}\r\n`,
    `GET /any HTTP/0.9\r\n${host}\r\n`,
    `GET /any HTTP/1.10\r\n${host}\r\n`,
    `GET /any http/1.1\r\n${host}\r\n`,
    `GET /any RTSP/1.0\r\n${host}\r\n`,
    `GET /any HTTP/1.1 \r\n${host}\r\n`,
    `GET  /any HTTP/1.1\r\n${host}\r\n`,
    `GET /any  HTTP/1.1\r\n${host}\r\n`,
    `GET\t/any HTTP/1.1\r\n${host}\r\n`,
    ` GET /any HTTP/1.1\r\n${host}\r\n`,
    `GET /any here HTTP/1.1\r\n${host}\r\n`,
    `get /any HTTP/1.1\r\n${host}\r\n`,
    `FETCH /any HTTP/1.1\r\n${host}\r\n`,
    `G(T /any HTTP/1.1\r\n${host}\r\n`,
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'GET /any HTTP/1.1\nHost: localhost\n\n',
    '\x16\x03\x01\x00\xa5\x01\r\n\r\n',
  ])('%j', expectMalformed);
});

describe('request.malformed: Host', () => {
  test.each([
    '',
    'Host: localhost\r\nHost: localhost\r\n',
    'Host: localhost\r\nhost: other\r\n',
    'Host: a/b\r\n',
    'Host: a@b\r\n',
    'Host: a b\r\n',
    'Host: a,b\r\n',
    'Host: localhost:port\r\n',
    'Host: [::1\r\n',
    'Host: a#b\r\n',
  ])('%j', async (fields) => expectMalformed(`POST /any HTTP/1.1\r\n${fields}Content-Length: 0\r\n\r\n`));
});

describe('request.malformed: header names and values', () => {
  test.each([
    'X-A : 1\r\n',
    ' X-A: 1\r\n',
    ': 1\r\n',
    'X A: 1\r\n',
    'X(A): 1\r\n',
    'X-\xe9: 1\r\n',
    'X-A\r\n',
    'X-A: 1\r\n folded\r\n',
    'X-A: 1\r\n\tfolded\r\n',
    'X-A: a\x00b\r\n',
    'X-A: a\x01b\r\n',
    'X-A: a\x7fb\r\n',
    'X-A: a\rb\r\n',
    'X-A: a\rX-B: b\r\n',
    'X-A: a\nX-B: b\r\n',
    'Content-Type: text/plain\r\nContent-Type: text/html\r\n',
    `${'X-Many: 1\r\n'.repeat(2000)}`,
    `X-Long: ${'a'.repeat(200_000)}\r\n`,
  ])('case %#', async (fields) => expectMalformed(withFields(`${fields}Content-Length: 0\r\n`)));
});

describe('request.malformed: framing', () => {
  test.each([
    'Content-Length: 0\r\nContent-Length: 0\r\n',
    'Content-Length: 4\r\nContent-Length: 0\r\n',
    'Content-Length: 0, 0\r\n',
    'Content-Length: +0\r\n',
    'Content-Length: -1\r\n',
    'Content-Length: 0x4\r\n',
    'Content-Length: 4.0\r\n',
    'Content-Length: 1e1\r\n',
    'Content-Length: 4 4\r\n',
    'Content-Length:\r\n',
    'Content-Length: four\r\n',
    'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n',
    'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n',
    'Transfer-Encoding: gzip, chunked\r\n',
    'Transfer-Encoding: chunked, gzip\r\n',
    'Transfer-Encoding: chunked, chunked\r\n',
    'Transfer-Encoding: ,chunked\r\n',
    'Transfer-Encoding: chunked,\r\n',
    'Transfer-Encoding: identity\r\n',
    'Transfer-Encoding: xchunked\r\n',
    'Transfer-Encoding: chunked;q=1\r\n',
    'Transfer-Encoding: "chunked"\r\n',
    'Transfer-Encoding:\r\n',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n',
    'Transfer-Encoding: \x0bchunked\r\n',
    'Expect: 200-ok\r\nContent-Length: 0\r\n',
    'Connection: content-length\r\nContent-Length: 4\r\n',
    'Connection: close, x-secret\r\nContent-Length: 0\r\n',
    'Connection: authorization\r\nContent-Length: 0\r\n',
  ])('%j', async (fields) => expectMalformed(withFields(fields)));

  test('chunked on HTTP/1.0', async () =>
    expectMalformed(`POST /any HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`));
});

describe('request.malformed: chunks', () => {
  test.each([
    'xyz\r\nbody\r\n0\r\n\r\n',
    '\r\n\r\n',
    '+4\r\nbody\r\n0\r\n\r\n',
    '-4\r\nbody\r\n0\r\n\r\n',
    '0x4\r\nbody\r\n0\r\n\r\n',
    ' 4\r\nbody\r\n0\r\n\r\n',
    '4 4\r\nbody\r\n0\r\n\r\n',
    '4\nbody\n0\n\n',
    '4\r\nbodyX\r\n0\r\n\r\n',
    '4\r\nbody\n0\r\n\r\n',
    '4\r\nbody0\r\n\r\n',
    // Extensions and trailers are legal, and no webhook needs them: readers differ over where they end.
    '4;a=b\r\nbody\r\n0\r\n\r\n',
    '4\r\nbody\r\n0\r\nx-trailer: 1\r\n\r\n',
    '4;a\nb\r\nbody\r\n0\r\n\r\n',
    '4;a\x00b\r\nbody\r\n0\r\n\r\n',
    'fffffffffffffffff\r\nbody\r\n0\r\n\r\n',
    `${'0'.repeat(5000)}4\r\nbody\r\n0\r\n\r\n`,
    '4\r\nbody\r\n0\r\nbad trailer\r\n\r\n',
    '4\r\nbody\r\n0\r\nx-a: \x00\r\n\r\n',
  ])('case %#: %j', async (body) => expectMalformed(chunks(body)));
});

describe('what is well-formed passes', () => {
  test.each([
    ['TRANSFER-ENCODING: Chunked\r\n', '4\r\nbody\r\n0\r\n\r\n'],
    ['Transfer-Encoding: chunked\r\n', '00004\r\nbody\r\n0\r\n\r\n'],
    ['Content-Length: 4\r\nX-Empty:\r\nX-Tab:\ta \r\n', 'body'],
    ['Content-Length: 4\r\nConnection: keep-alive, TE\r\nTE: trailers\r\n', 'body'],
    ['Content-Length: 4\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n', 'body'],
  ])('%j', async (fields, body) => {
    const connection = await connect(gateway);
    connection.send(withFields(fields, body));
    const record = await expectDelivered(gateway, await connection.answer());
    const seen = await upstream.request((one) => headerOf(one, 'x-request-id') === record.id);
    expect([seen.body.toString(), headerOf(seen, 'content-length')]).toEqual(['body', '4']);
    expect([headerOf(seen, 'te'), headerOf(seen, 'upgrade'), headerOf(seen, 'transfer-encoding')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    connection.close();
  });

  test('one byte at a time', async () => {
    const connection = await connect(gateway);
    connection.socket.setNoDelay(true);
    for (const byte of withFields('Content-Length: 4\r\n', 'body')) connection.send(byte);
    await expectDelivered(gateway, await connection.answer());
    connection.close();
  });

  test('pipelined requests are answered in their order', async () => {
    const connection = await connect(gateway);
    const paths = ['/p/1', '/p/2', '/p/3'];
    connection.send(Buffer.concat(paths.map((path) => requestBytes({ path, body: path }))));
    for (const path of paths) {
      const record = await expectDelivered(gateway, await connection.answer());
      expect([record.path, record.bytes]).toEqual([path, 4]);
    }
    connection.close();
  });

  test('Connection: close is honoured', async () => {
    const connection = await connect(gateway);
    connection.send(withFields('Content-Length: 0\r\nConnection: close\r\n'));
    const answer = await connection.answer();
    await expectDelivered(gateway, answer);
    expect(answer.header('connection')).toBe('close');
    expect(await connection.closed()).toBe('');
  });
});

test('plain HTTP on the TLS port gets no HTTP answer and reaches no upstream', async () => {
  const before = upstream.heads();
  const socket = net.connect(gateway.port, '127.0.0.1');
  let bytes = '';
  socket.on('data', (chunk) => {
    bytes += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  socket.write(SMUGGLED);
  await once(socket, 'close');
  expect(bytes).not.toContain('HTTP/');
  expect(upstream.heads()).toBe(before);
});
