import { once } from 'node:events';
import { beforeAll, describe, expect, test } from 'vitest';
import { clientHello, drip, rawCrowd } from './support/crowd.ts';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { metric, residentMib, untilMetric } from './support/metrics.ts';
import { type Connection, connect, post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const MANY = 300;
const DRIP_MS = 20;

let upstream: Upstream;
let hello: Buffer;

beforeAll(async () => {
  upstream = await startUpstream();
  hello = await clientHello();
});

const start = (limits: Record<string, unknown>): Promise<Gateway> =>
  startGateway({
    limits,
    upstreams: { app: upstream.url },
    routes: [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }],
  });

/** A sender that was there before and one that comes now are both served. */
async function expectOthersServed(gateway: Gateway, known: Connection): Promise<void> {
  await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'known', on: known }));
  await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'new' }));
}

/** Nothing is left of all that, and the next one is served. */
async function expectQuiet(gateway: Gateway, known: Connection): Promise<void> {
  await expectOthersServed(gateway, known);
  known.close();
  await untilMetric(gateway, 'postern_connections', (count) => count === 0);
  expect(await metric(gateway, 'postern_handshakes')).toBe(0);
  expect(await metric(gateway, 'postern_requests_in_flight')).toBe(0);
  expect(await gateway.stop()).toBe(0);
}

describe('before the handshake is done, handshake_timeout is for all of it', () => {
  test('connections that never send are closed, and others are served meanwhile', async () => {
    const gateway = await start({ handshake_timeout: '2s' });
    const known = await connect(gateway);
    const crowd = await rawCrowd(gateway, MANY);
    await untilMetric(gateway, 'postern_connections', (count) => count === MANY + 1);
    await expectOthersServed(gateway, known);
    await crowd.allClosed;
    expect(crowd.answered()).toBe(0);
    const refused = 'postern_refused_connections_total{reason="handshake"}';
    expect(await metric(gateway, refused)).toBe(MANY);
    await expectQuiet(gateway, known);
  });

  test('handshakes that are left half done are closed, and others are served meanwhile', async () => {
    const gateway = await start({ handshake_timeout: '2s' });
    const known = await connect(gateway);
    const crowd = await rawCrowd(gateway, MANY, { first: hello });
    await untilMetric(gateway, 'postern_handshakes', (count) => count === MANY);
    await expectOthersServed(gateway, known);
    await crowd.allClosed;
    expect(crowd.answered()).toBe(MANY);
    await expectQuiet(gateway, known);
  });

  test('a handshake that comes byte by byte is closed though it never pauses', async () => {
    const gateway = await start({ handshake_timeout: '1s' });
    const known = await connect(gateway);
    const crowd = await rawCrowd(gateway, 40);
    const dripping = Promise.all(crowd.sockets.map((socket) => drip(socket, hello, DRIP_MS)));
    await expectOthersServed(gateway, known);
    await crowd.allClosed;
    expect(crowd.answered()).toBe(0);
    await dripping;
    await expectQuiet(gateway, known);
  });

  test('one that is slow but in time comes in', async () => {
    const gateway = await start({ handshake_timeout: '10s' });
    const crowd = await rawCrowd(gateway, 1);
    const [socket] = crowd.sockets;
    if (socket === undefined) throw new Error('no connection');
    const answered = once(socket, 'data');
    await drip(socket, hello, 1);
    // A ServerHello is a handshake record: type 22.
    expect((await answered)[0][0]).toBe(22);
    crowd.end();
    expect(await gateway.stop()).toBe(0);
  });
});

describe('after the handshake', () => {
  test('heads that come byte by byte are 408 after header_timeout, and others are served meanwhile', async () => {
    const gateway = await start({ header_timeout: '1s' });
    const known = await connect(gateway);
    const slow = await Promise.all(Array.from({ length: 40 }, () => connect(gateway)));
    const head = Buffer.from(`POST /plain HTTP/1.1\r\nHost: localhost\r\nX-Slow: ${'x'.repeat(400)}`);
    const dripping = slow.map(({ socket }) => drip(socket, head, DRIP_MS));
    await expectOthersServed(gateway, known);
    for (const connection of slow)
      await expectProblem(gateway, await connection.answer(), 408, 'body.timeout');
    for (const { socket } of slow) socket.destroy();
    await Promise.all(dripping);
    await expectQuiet(gateway, known);
  });

  test('bodies that come byte by byte are 408 after body_timeout, and others are served meanwhile', async () => {
    const gateway = await start({ body_timeout: '1s' });
    const known = await connect(gateway);
    const before = upstream.heads();
    const slow = await Promise.all(Array.from({ length: 40 }, () => connect(gateway)));
    const dripping = slow.map((connection) => {
      connection.send('POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400\r\n\r\n');
      return drip(connection.socket, Buffer.alloc(399, 'x'), DRIP_MS);
    });
    await expectOthersServed(gateway, known);
    for (const connection of slow)
      await expectProblem(gateway, await connection.answer(), 408, 'body.timeout');
    for (const { socket } of slow) socket.destroy();
    await Promise.all(dripping);
    expect(upstream.heads() - before, 'requests that reached the upstream').toBe(2);
    expect(await metric(gateway, 'postern_buffered_body_bytes')).toBe(0);
    await expectQuiet(gateway, known);
  });

  test('senders that do not read their answers hold back the upstream, and others are served meanwhile', async () => {
    const megabytes = 32;
    const readers = 20;
    const gateway = await start({});
    const known = await connect(gateway);
    await expectOthersServed(gateway, known);
    const before = residentMib(gateway.pid);
    const chunk = Buffer.alloc(1 << 20, 'x');
    const allAsked = Promise.withResolvers<void>();
    let asked = 0;
    let written = 0;
    upstream.answer((request, response) => {
      if (request.body.toString() !== 'large') return void response.end('small');
      response.writeHead(200, { 'content-length': megabytes * chunk.length });
      let left = megabytes;
      const more = (): void => {
        while (left > 0 && !response.writableNeedDrain) {
          response.write(chunk);
          written += 1;
          left -= 1;
        }
      };
      response.on('drain', more);
      more();
      asked += 1;
      if (asked === readers) allAsked.resolve();
    });
    const slow = await Promise.all(Array.from({ length: readers }, () => connect(gateway)));
    for (const connection of slow) {
      connection.socket.pause();
      connection.send('POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nlarge');
    }
    await allAsked.promise;
    // Until nothing more is taken from the upstream while ten requests are served.
    for (let seen = -1; seen !== written; ) {
      seen = written;
      for (let round = 0; round < 5; round += 1) await expectOthersServed(gateway, known);
    }
    // All of it would be 640 MiB.
    expect(written).toBeLessThan((megabytes * readers) / 2);
    expect(residentMib(gateway.pid) - before).toBeLessThan(200);
    for (const { socket } of slow) socket.destroy();
    upstream.answer();
    await expectQuiet(gateway, known);
  });

  test('a thousand idle connections cost little, and others are served meanwhile', async () => {
    const gateway = await start({});
    const known = await connect(gateway);
    await expectOthersServed(gateway, known);
    const before = residentMib(gateway.pid);
    const idle: Connection[] = [];
    while (idle.length < 1000) {
      idle.push(...(await Promise.all(Array.from({ length: 50 }, () => connect(gateway)))));
    }
    await untilMetric(gateway, 'postern_connections', (count) => count === 1001);
    await expectOthersServed(gateway, known);
    expect(residentMib(gateway.pid) - before).toBeLessThan(200);
    const last = idle.at(-1) as Connection;
    await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x', on: last }));
    for (const connection of idle) connection.close();
    await expectQuiet(gateway, known);
  });
});
