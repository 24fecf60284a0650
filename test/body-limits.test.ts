import { once } from 'node:events';
import net from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { QUICK_SENDER } from './support/quick-sender.ts';
import { connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const KIB = 1024;
let upstream: Upstream;
let tight: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  tight = await startGateway({
    upstreams: { app: upstream.url },
    limits: {
      body: '64KiB',
      buffered_bodies: '100KiB',
      header_timeout: '300ms',
      body_timeout: '400ms',
      idle_timeout: '500ms',
    },
    routes: [{ name: 'any', path: '/any', addresses: 'any', upstream: 'app' }],
  });
});

const head = (path: string, fields: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n\r\n`;

describe('bodies that do not come', () => {
  test('body_timeout answers 408 body.timeout and closes', async () => {
    const connection = await connect(tight);
    const { answer } = await expectRefused(
      tight,
      upstream,
      () => {
        connection.send(`${head('/any', 'Content-Length: 10')}half`);
        return connection.answer();
      },
      408,
      'body.timeout',
    );
    expect(answer.header('connection')).toBe('close');
    expect(await connection.closed()).toBe('');
  });

  test.each([
    ['Content-Length: 10', 'half'],
    ['Transfer-Encoding: chunked', '4\r\nhalf\r\n'],
    ['Transfer-Encoding: chunked', 'a\r\nhalf'],
  ])(
    'a sender that leaves in the middle is body.incomplete, without a status: %s, %j',
    async (fields, half) => {
      const [before, since] = [upstream.heads(), tight.lines.length];
      const connection = await connect(tight);
      connection.send(head('/any', fields) + half);
      connection.socket.end();
      expect(await connection.closed()).toBe('');
      const record = await tight.record((one) => one.reason === 'body.incomplete', since);
      expect([record.status, record.route, record.path]).toEqual([undefined, 'any', '/any']);
      expect(upstream.heads()).toBe(before);
    },
  );

  test('a head that does not come to its end is not waited for beyond header_timeout', async () => {
    const before = upstream.heads();
    const connection = await connect(tight);
    connection.send('POST /any HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    expect(await connection.closed()).not.toMatch(/^HTTP\/1\.1 [235]/);
    expect(upstream.heads()).toBe(before);
  });

  test('a connection idle for idle_timeout is closed without a word', async () => {
    const connection = await connect(tight);
    await expectDelivered(tight, await post(tight, { path: '/any', body: 'x', on: connection }));
    expect(await connection.closed()).toBe('');
  });
});

test('a sender’s deadline bounds the body as well: 408 before that sender gives up', async () => {
  const patient = await startGateway(
    {
      upstreams: { app: upstream.url },
      limits: { body_timeout: '60s' },
      routes: [{ name: 'quick', path: '/quick', addresses: 'any', sender: 'quick', upstream: 'app' }],
    },
    { files: { 'senders/quick.yaml': QUICK_SENDER } },
  );
  const connection = await connect(patient);
  await expectRefused(
    patient,
    upstream,
    () => {
      connection.send(`${head('/quick', 'Content-Length: 10')}half`);
      return connection.answer();
    },
    408,
    'body.timeout',
  );
  connection.close();
  expect(await patient.stop()).toBe(0);
});

test('a connection that never begins its handshake is closed after handshake_timeout', async () => {
  const hasty = await startGateway({
    upstreams: { app: upstream.url },
    limits: { handshake_timeout: '500ms' },
    routes: [{ name: 'any', path: '/any', addresses: 'any', upstream: 'app' }],
  });
  const socket = net.connect(hasty.port, '127.0.0.1');
  let bytes = '';
  socket.on('data', (chunk) => {
    bytes += chunk.toString('latin1');
  });
  await once(socket, 'close');
  expect(bytes).not.toContain('HTTP/');
  expect(await hasty.stop()).toBe(0);
});

test('connections beyond limits.connections are closed, and there is room again when one ends', async () => {
  const narrow = await startGateway({
    upstreams: { app: upstream.url },
    limits: { connections: 2 },
    routes: [{ name: 'any', path: '/any', addresses: 'any', upstream: 'app' }],
  });
  const [one, two] = [await connect(narrow), await connect(narrow)];
  const third = await connect(narrow).catch((error: NodeJS.ErrnoException) => error);
  expect(third).toMatchObject({ code: 'ECONNRESET' });
  one.socket.end();
  await once(one.socket, 'close');
  await expectDelivered(narrow, await post(narrow, { path: '/any', body: 'x', on: two }));
  await expectDelivered(narrow, await post(narrow, { path: '/any', body: 'x' }));
  two.close();
  expect(await narrow.stop()).toBe(0);
});

test('bodies beyond the memory budget are 503 gateway.overloaded, and the budget comes back', async () => {
  const body = Buffer.alloc(60 * KIB);
  const whole = requestBytes({ path: '/any', body });
  const held: (() => void)[] = [];
  upstream.answer((_request, response) => held.push(() => response.end('late')));
  const first = post(tight, { path: '/any', body });
  await upstream.request((one) => one.body.length === body.length);
  const { answer } = await expectRefused(
    tight,
    upstream,
    () => post(tight, { path: '/any', body }),
    503,
    'gateway.overloaded',
  );
  expect(answer.header('retry-after')).toMatch(/^\d+$/);
  for (const release of held) release();
  await expectDelivered(tight, await first);
  upstream.answer();
  const connection = await connect(tight);
  connection.send(whole);
  await expectDelivered(tight, await connection.answer());
  connection.close();
});
