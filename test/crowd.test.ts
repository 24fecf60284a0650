import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { clientHello, connectAtLast, rawCrowd } from './support/crowd.ts';
import { expectDelivered } from './support/expect.ts';
import { type Config, type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { metric, residentMib, untilMetric } from './support/metrics.ts';
import { readiness } from './support/readiness.ts';
import { type Connection, connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const OVER_CAP = 'postern_refused_connections_total{reason="limits.connections_per_address"}';
const OVER_LIMIT = 'postern_refused_connections_total{reason="limits.connections"}';

let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});

const configOf = (limits: Record<string, unknown>, more: Config = {}): Config => ({
  limits,
  upstreams: { app: upstream.url },
  routes: [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }],
  ...more,
});

async function expectServed(gateway: Gateway, on?: Connection): Promise<void> {
  await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x', ...(on && { on }) }));
}

/** A connection that says nothing, and the promise of its end. */
async function silent(gateway: Gateway, options: { first?: Buffer } = {}) {
  const crowd = await rawCrowd(gateway, 1, options);
  return { socket: crowd.sockets[0] as net.Socket, ended: crowd.allClosed };
}

describe('limits.connections_per_address', () => {
  test('closes one too many of an address at once, whatever the others do, and says so', async () => {
    const gateway = await startGateway(configOf({ connections_per_address: 2 }));
    const one = await connect(gateway);
    const half = await silent(gateway);
    await untilMetric(gateway, 'postern_connections', (count) => count === 2);
    await expect(connect(gateway)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await metric(gateway, OVER_CAP)).toBe(1);
    expect(await gateway.line(({ msg }) => msg === 'limits.connections_per_address reached')).toMatchObject({
      peer: { address: '127.0.0.1' },
    });
    const other = await connect(gateway, { from: '127.0.0.2' });
    await expectServed(gateway, other);
    await expectServed(gateway, one);
    // When one of them ends there is room again.
    half.socket.destroy();
    await expectServed(gateway, await connectAtLast(gateway));
    expect(await gateway.stop()).toBe(0);
  });

  test('a reload changes it: who is in stays in and is counted', async () => {
    const gateway = await startGateway(configOf({}));
    const file = join(gateway.folder, 'postern.yaml');
    const reload = async (from: string, to: string): Promise<void> => {
      const since = gateway.lines.length;
      await writeFile(file, (await readFile(file, 'utf8')).replace(from, to));
      gateway.signal('SIGHUP');
      await gateway.line(({ msg }) => msg === 'configuration reloaded', since);
    };
    const three = [await connect(gateway), await connect(gateway), await connect(gateway)];
    await reload('limits:\n', 'limits:\n  connections_per_address: 2\n');
    await expect(connect(gateway)).rejects.toMatchObject({ code: 'ECONNRESET' });
    for (const connection of three) await expectServed(gateway, connection);
    await reload('connections_per_address: 2', 'connections_per_address: 4');
    await expectServed(gateway, await connect(gateway));
    await expect(connect(gateway).then(() => connect(gateway))).rejects.toMatchObject({ code: 'ECONNRESET' });
    await reload('  connections_per_address: 4\n', '');
    await expectServed(gateway);
    expect(await gateway.stop()).toBe(0);
  });

  test('behind a load balancer the address in the PROXY header counts, IPv6 by its /64; who has said none yet does not', async () => {
    const listen = { address: '127.0.0.1', port: 0, proxy_protocol: true, trusted_proxies: ['127.0.0.1'] };
    const gateway = await startGateway(
      configOf({ connections_per_address: 1, handshake_timeout: '3s' }, { listen }),
    );
    const from = (address: string): Promise<Connection> => connectThrough(gateway, address);
    const unsaid = await rawCrowd(gateway, 5);
    await expectServed(gateway, await from('198.51.100.7'));
    await expect(from('198.51.100.7')).rejects.toMatchObject({ code: 'ECONNRESET' });
    await expectServed(gateway, await from('198.51.100.8'));
    const six = await from('2001:db8:0:1::1');
    await expect(from('2001:db8:0:1:ffff::2')).rejects.toMatchObject({ code: 'ECONNRESET' });
    await expectServed(gateway, await from('2001:db8:0:2::1'));
    await expectServed(gateway, six);
    const line = await gateway.line(({ msg }) => msg === 'limits.connections_per_address reached');
    expect(line.peer).toEqual({ address: '198.51.100.7' });
    expect(await metric(gateway, OVER_CAP)).toBe(2);
    // The wait for a header has an end of its own.
    await unsaid.allClosed;
    await gateway.line(({ detail }) => detail === 'PROXY header: too late');
    expect(await gateway.stop()).toBe(0);
  });
});

/** A connection of a load balancer that speaks for this address. */
async function connectThrough(gateway: Gateway, address: string): Promise<Connection> {
  const kind = net.isIPv6(address) ? 'TCP6' : 'TCP4';
  const destination = net.isIPv6(address) ? '2001:db8::1' : '192.0.2.1';
  const socket = net.connect(gateway.port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(`PROXY ${kind} ${address} ${destination} 50000 8443\r\n`);
  return connect(gateway, { tls: { socket } });
}

describe('limits.connections', () => {
  test('a newcomer is let in for the oldest that has not finished its handshake, then for the one that was idle longest, never for a busy one', async () => {
    const gateway = await startGateway(configOf({ connections: 4 }));
    const { arrived, release } = holdAnswers(upstream);
    const busy = await connect(gateway);
    busy.send(requestBytes({ path: '/plain', body: 'held' }));
    await arrived;
    const first = await connect(gateway);
    const second = await connect(gateway);
    const half = await silent(gateway, { first: await clientHello() });
    upstream.answer();
    const ends: string[] = [];
    const note = (name: string, end: Promise<unknown>) => end.then(() => ends.push(name));
    const noted = [note('half', half.ended), note('first', first.closed()), note('second', second.closed())];

    const newcomers = [await connectAtLast(gateway)];
    await noted[0];
    expect(ends).toEqual(['half']);
    newcomers.push(await connectAtLast(gateway));
    await noted[1];
    expect(ends).toEqual(['half', 'first']);
    newcomers.push(await connectAtLast(gateway));
    await noted[2];
    expect(ends).toEqual(['half', 'first', 'second']);

    for (const connection of newcomers) await expectServed(gateway, connection);
    release();
    expect((await busy.answer()).body.toString()).toBe('held');
    expect(await metric(gateway, 'postern_connections_given_way_total{state="unfinished"}')).toBe(1);
    expect(await metric(gateway, 'postern_connections_given_way_total{state="idle"}')).toBe(2);
    await gateway.line(({ msg, gave_way }) => msg === 'limits.connections reached' && gave_way === 'idle');
    expect(await gateway.stop()).toBe(0);
  });

  test('a head that does not come to its end is as good as an unfinished handshake', async () => {
    const gateway = await startGateway(configOf({ connections: 2 }));
    const idle = await connect(gateway);
    const slow = await connect(gateway);
    slow.send('POST /plain HTTP/1.1\r\nHost:');
    const newcomer = await connectAtLast(gateway);
    expect(await slow.closed()).toBe('');
    await expectServed(gateway, newcomer);
    await expectServed(gateway, idle);
    expect(await gateway.stop()).toBe(0);
  });

  test('where all are busy the newcomer is closed, and there is room again when one ends', async () => {
    const gateway = await startGateway(configOf({ connections: 2 }));
    const { arrived, release } = holdAnswers(upstream);
    const busy = [await connect(gateway), await connect(gateway)];
    for (const connection of busy) connection.send(requestBytes({ path: '/plain', body: 'held' }));
    await arrived;
    await untilMetric(gateway, 'postern_requests_in_flight', (count) => count === 2);
    await expect(connect(gateway)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await metric(gateway, OVER_LIMIT)).toBe(1);
    await gateway.line(({ gave_way }) => gave_way === 'newcomer');
    release();
    upstream.answer();
    for (const connection of busy) expect((await connection.answer()).status).toBe(200);
    busy[0]?.close();
    await expectServed(gateway, await connectAtLast(gateway));
    await expectServed(gateway, busy[1]);
    expect(await gateway.stop()).toBe(0);
  });
});

describe('more connections than file descriptors', () => {
  test('who is in and who comes with a good certificate are served, and all is well when the flood has gone', async () => {
    const openFiles = 256;
    const gateway = await startGateway(configOf({ connections: 10_000 }, { state: { driver: 'sqlite' } }), {
      openFiles,
    });
    const warning = await gateway.line(({ warning }) => String(warning).startsWith('limits.connections:'));
    expect(warning.warning).toContain(`the system allows ${openFiles} open files`);
    const room = Number(/room for (\d+) connections/.exec(String(warning.warning))?.[1]);
    expect(room).toBeGreaterThan(60);
    const known = await connect(gateway);
    await expectServed(gateway, known);
    const hello = await clientHello();
    for (const first of [undefined, hello]) {
      const flood = await rawCrowd(gateway, 3 * openFiles, first === undefined ? {} : { first });
      await untilMetric(gateway, 'postern_connections', (count) => count === room);
      expect(await readiness(gateway)).toBe(200);
      // More at once than the flood has left descriptors for, were none held back for the upstream.
      const newcomers: Connection[] = [];
      while (newcomers.length < 40) newcomers.push(await connectAtLast(gateway));
      const { arrived, release } = holdAnswers(upstream);
      for (const connection of newcomers) connection.send(requestBytes({ path: '/plain', body: 'many' }));
      await arrived;
      await untilMetric(gateway, 'postern_requests_in_flight', (count) => count === newcomers.length);
      release();
      upstream.answer();
      for (const connection of newcomers) expect((await connection.answer()).status).toBe(200);
      await expectServed(gateway, known);
      flood.end();
      for (const connection of newcomers) connection.close();
      await untilMetric(gateway, 'postern_connections', (count) => count === 1);
      await expectServed(gateway);
    }
    await expectServed(gateway, known);
    expect(gateway.lines.filter(({ msg }) => msg === 'uncaught')).toEqual([]);
    expect(await gateway.stop()).toBe(0);
  });
});

describe('a flood of handshakes', () => {
  test('is let in a few at a time: known senders are served between them, and newcomers after them', async () => {
    const count = 800;
    const gateway = await startGateway(configOf({ handshake_timeout: '60s' }));
    const known = await connect(gateway);
    await expectServed(gateway, known);
    const hello = await clientHello();
    const flood = await rawCrowd(gateway, count);
    await untilMetric(gateway, 'postern_connections', (open) => open === count + 1);
    for (const socket of flood.sockets) socket.write(hello);
    const answer = await post(gateway, { path: '/plain', body: 'between', on: known });
    const begun = flood.answered();
    await expectDelivered(gateway, answer);
    expect(begun, 'handshakes begun before the known sender was answered').toBeLessThan(count / 2);
    const newcomer = await connectAtLast(gateway);
    await expectServed(gateway, newcomer);
    flood.end();
    known.close();
    newcomer.close();
    await untilMetric(gateway, 'postern_connections', (open) => open === 0);
    expect(await metric(gateway, 'postern_handshakes')).toBe(0);
    expect(residentMib(gateway.pid)).toBeLessThan(600);
    expect(await gateway.stop()).toBe(0);
  });

  test('that is too large loses its oldest: no more wait or are under way than can be answered soon', async () => {
    const [count, most] = [2500, 1024 + 512];
    const gateway = await startGateway(configOf({ handshake_timeout: '60s' }));
    const flood = await rawCrowd(gateway, count);
    await untilMetric(gateway, 'postern_connections', (open) => open === count);
    const hello = await clientHello();
    for (const socket of flood.sockets) socket.write(hello);
    await gateway.line(({ msg }) => msg === 'too many handshakes at once');
    expect(await metric(gateway, 'postern_handshakes')).toBeLessThanOrEqual(most);
    const newcomer = await connectAtLast(gateway);
    await expectServed(gateway, newcomer);
    expect(await metric(gateway, 'postern_handshakes')).toBeLessThanOrEqual(most);
    const shed = await metric(gateway, 'postern_shed_total{reason="handshakes"}');
    expect(shed).toBeGreaterThanOrEqual(count - most);
    expect(residentMib(gateway.pid)).toBeLessThan(600);
    flood.end();
    newcomer.close();
    await untilMetric(gateway, 'postern_connections', (open) => open === 0);
    expect(await gateway.stop()).toBe(0);
  });
});
