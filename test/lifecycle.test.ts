import net from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered } from './support/expect.ts';
import { type Gateway, startAndEnd, startGateway } from './support/gateway.ts';
import { post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});

const start = (): Promise<Gateway> =>
  startGateway({
    upstreams: { app: upstream.url },
    routes: [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }],
  });

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

test('SIGHUP does not end it', async () => {
  const gateway = await start();
  gateway.signal('SIGHUP');
  await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x' }));
  expect(await gateway.stop()).toBe(0);
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
