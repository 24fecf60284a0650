import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startAndEnd, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { readiness } from './support/readiness.ts';
import { connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

const start = (limits: Record<string, unknown> = {}): Promise<Gateway> =>
  startGateway({
    limits,
    upstreams: { app: upstream.url },
    routes: [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }],
  });

/**
 * Resolves once the port takes no more connections. One that still waits to be accepted when the listener closes is
 * reset; only then comes the refusal.
 */
async function untilRefused(port: number): Promise<void> {
  for (;;) {
    const outcome = await new Promise<string>((resolve) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        setTimeout(resolve, 20, 'connected');
      });
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
    if (outcome === 'ECONNREFUSED') return;
  }
}

test('the listening line says where: address, port and admin', async () => {
  const gateway = await start();
  const line = gateway.lines.find((one) => one.msg === 'listening');
  expect(line).toMatchObject({
    address: '127.0.0.1',
    port: gateway.port,
    admin: { address: '127.0.0.1', port: gateway.admin?.port },
  });
  expect(gateway.port).toBeGreaterThan(0);
  expect(gateway.admin?.port).toBeGreaterThan(0);
  await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x' }));
  expect(await gateway.stop()).toBe(0);
});

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test('answers what is in flight, takes no new connection, and ends with 0', async () => {
    const gateway = await start();
    const { arrived, release } = holdAnswers(upstream);
    const inFlight = post(gateway, { path: '/plain', body: 'in flight' });
    const idle = await connect(gateway);
    await arrived;
    gateway.signal(signal);
    await untilRefused(gateway.port);
    expect(await idle.closed()).toBe('');
    release();
    const answer = await inFlight;
    await expectDelivered(gateway, answer);
    expect(answer.body.toString()).toBe('held');
    expect(answer.header('connection')).toBe('close');
    expect(await gateway.exited).toBe(0);
    expect(await gateway.stop()).toBe(0);
  });
});

test('SIGHUP does not end it', async () => {
  const gateway = await start();
  gateway.signal('SIGHUP');
  await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x' }));
  expect(await gateway.stop()).toBe(0);
});

describe('draining', () => {
  test('drain_delay: readiness fails first, while connections are still served', async () => {
    const gateway = await start({ drain_delay: '1s' });
    expect(await readiness(gateway)).toBe(200);
    gateway.signal('SIGTERM');
    let status = await readiness(gateway);
    while (status === 200) status = await readiness(gateway);
    expect(status).toBe(503);
    await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x' }));
    expect(await gateway.exited).toBe(0);
  });

  test('a connection that has carried nothing yet has a moment for its first request', async () => {
    const gateway = await start();
    const connection = await connect(gateway);
    gateway.signal('SIGTERM');
    await gateway.line(({ msg }) => msg === 'draining');
    connection.send(requestBytes({ path: '/plain', body: 'x' }));
    const answer = await connection.answer();
    await expectDelivered(gateway, answer);
    expect(answer.header('connection')).toBe('close');
    expect(await gateway.exited).toBe(0);
  });

  test('drain_timeout: an upstream that never answers does not hold up the end', async () => {
    const gateway = await start({ drain_timeout: '700ms' });
    const { arrived } = holdAnswers(upstream);
    const connection = await connect(gateway);
    connection.send(requestBytes({ path: '/plain', body: 'never' }));
    await arrived;
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toBe(0);
    const rest = await connection.closed();
    if (rest !== '') expect(rest).toMatch(/^HTTP\/1\.1 503 /);
    await gateway.record((line) => line.path === '/plain');
  });

  test('drain_timeout: a request whose body never came to its end is recorded all the same', async () => {
    const gateway = await start({ drain_timeout: '500ms' });
    const connection = await connect(gateway);
    connection.send('POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf');
    await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x' }));
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toBe(0);
    const record = await gateway.record((line) => line.reason === 'body.incomplete');
    expect([record.path, record.status]).toEqual(['/plain', undefined]);
  });

  test('drain_timeout: nor does a connection that never began its handshake', async () => {
    const gateway = await start({ drain_timeout: '700ms', handshake_timeout: '60s' });
    const silent = net.connect(gateway.port, '127.0.0.1');
    silent.on('error', () => undefined);
    const closed = once(silent, 'close');
    await once(silent, 'connect');
    await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x' }));
    gateway.signal('SIGTERM');
    await closed;
    expect(await gateway.exited).toBe(0);
  });

  test('a request whose head comes after the signal, on a kept connection, is served or told to come again', async () => {
    const gateway = await start();
    const { arrived, release } = holdAnswers(upstream);
    const first = post(gateway, { path: '/plain', body: 'first' });
    const kept = await connect(gateway);
    kept.send('POST /plain HTTP/1.1\r\nHost: localhost\r\n');
    await arrived;
    gateway.signal('SIGTERM');
    await untilRefused(gateway.port);
    upstream.answer();
    kept.send('Content-Length: 1\r\n\r\nx');
    release();
    await expectDelivered(gateway, await first);
    const outcome = await kept.answer().catch((error: Error) => error);
    if (!(outcome instanceof Error)) {
      if (outcome.status === 200) await expectDelivered(gateway, outcome);
      else await expectProblem(gateway, outcome, 503, 'gateway.draining');
      expect(outcome.header('connection')).toBe('close');
    }
    expect(await gateway.exited).toBe(0);
  });
});

describe('exit codes', () => {
  test('78 for a configuration that does not hold, naming file, line, column and path, all mistakes at once', async () => {
    const { code, output } = await startAndEnd({
      upstreams: { app: 'http://127.0.0.1:1' },
      routes: [
        { name: 'open', path: '/open', upstream: 'app' },
        { name: 'lost', path: '/lost', addresses: 'any', upstream: 'nowhere' },
        { name: 'odd', path: '/odd', addresses: 'any', upstream: 'app', colour: 'red' },
      ],
    });
    expect(code).toBe(78);
    for (const part of ['addresses', 'nowhere', 'colour']) expect(output).toContain(part);
    expect(output).toMatch(/postern\.yaml:\d+:\d+ routes/);
  });

  test('78 for YAML that is none', async () => {
    const { code, output } = await startAndEnd('routes: [\n  {');
    expect(code).toBe(78);
    expect(output).toMatch(/postern\.yaml:\d+:\d+/);
  });

  test('a port that is taken ends the start with a sentence and a code other than 0', async () => {
    const server = net.createServer();
    const port = await new Promise<number>((resolve) =>
      server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port)),
    );
    const { code, output } = await startAndEnd({
      listen: { address: '127.0.0.1', port },
      upstreams: { app: upstream.url },
      routes: [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }],
    });
    server.close();
    expect(code).toBe(1);
    expect(output).toContain(String(port));
    expect(output).not.toMatch(/^\s+at /m);
  });
});
