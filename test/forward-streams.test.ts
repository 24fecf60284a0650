import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream, type Answer as UpstreamAnswer } from './support/upstream.ts';

let upstream: Upstream;
let early: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  early = await startUpstream({ early: true });
  gateway = await startGateway({
    upstreams: { app: upstream.url, early: early.url },
    routes: [
      { name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' },
      { name: 'early', path: '/early', body_limit: '16MiB', addresses: 'any', upstream: 'early' },
    ],
  });
});
afterEach(() => upstream.answer());

describe('large answers', () => {
  const bytes = randomBytes(8 * 1024 * 1024);
  test.each([{ 'content-length': String(bytes.length) }, {}])(
    'arrive whole, framed by %j',
    async (headers) => {
      upstream.answer((_request, response) => response.writeHead(200, headers).end(bytes));
      const answer = await post(gateway, { path: '/plain', body: 'x' });
      await expectDelivered(gateway, answer);
      expect(answer.body.equals(bytes)).toBe(true);
    },
  );

  test('are streamed: the first part arrives while the upstream still writes', async () => {
    const { promise, resolve } = Promise.withResolvers<() => void>();
    const part = bytes.subarray(0, 1024 * 1024);
    upstream.answer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      response.write(part);
      resolve(() => response.end('last part'));
    });
    const connection = await connect(gateway);
    connection.send(requestBytes({ path: '/plain', body: 'x' }));
    const [text] = (await once(connection.socket, 'data')) as [Buffer];
    expect(text.toString('latin1')).toMatch(/^HTTP\/1\.1 200 /);
    (await promise)();
    const { body } = await connection.answer();
    expect(body.equals(Buffer.concat([part, Buffer.from('last part')]))).toBe(true);
    connection.close();
  });

  test('in pieces of any size, empty ones too, arrive whole and leave the connection in step', async () => {
    const pieces = ['a', '', 'bc', ''.padEnd(70_000, 'd'), '', 'e'];
    upstream.answer(async (_request, response) => {
      response.writeHead(200);
      for (const piece of pieces) {
        response.write(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
    const connection = await connect(gateway);
    for (let count = 0; count < 5; count++) {
      const answer = await post(gateway, { path: '/plain', body: 'x', on: connection });
      await expectDelivered(gateway, answer);
      expect(answer.body.toString()).toBe(pieces.join(''));
    }
    connection.close();
  });

  test('are held back while the sender does not read', async () => {
    // More than all socket buffers on the way together; what has not been written waits in the upstream.
    const chunk = Buffer.alloc(1024 * 1024, 'z');
    const stalled = Promise.withResolvers<number>();
    upstream.answer(async (_request, response) => {
      response.writeHead(200);
      for (let count = 1; count <= 128; count++) {
        if (response.write(chunk)) continue;
        const drained = once(response, 'drain').then(() => true);
        const waited = new Promise<boolean>((resolve) => setTimeout(resolve, 1000, false));
        if (!(await Promise.race([drained, waited]))) {
          stalled.resolve(count);
          await drained;
        }
      }
      stalled.resolve(128);
      response.end();
    });
    const connection = await connect(gateway);
    connection.socket.pause();
    connection.send(requestBytes({ path: '/plain', body: 'x' }));
    expect(await stalled.promise).toBeLessThan(64);
    let received = 0;
    connection.socket.on('data', (data) => {
      received += data.length;
      if (received >= 128 * chunk.length) connection.close();
    });
    connection.socket.resume();
    await once(connection.socket, 'close');
    expect(received).toBeGreaterThanOrEqual(128 * chunk.length);
  });
});

describe('an upstream that answers before it has read the body', () => {
  const body = Buffer.alloc(8 * 1024 * 1024);
  const cases: [number, UpstreamAnswer][] = [
    [
      202,
      (_request, response, raw) => {
        // It reads on: one that closes with bytes unread resets the connection, and may lose its own answer.
        response.writeHead(202).end('enough');
        raw.resume();
      },
    ],
    [
      413,
      (_request, response) => {
        response.writeHead(413, { 'content-type': 'text/plain' }).end('too much for me');
      },
    ],
  ];
  test.each(cases)('%i reaches the sender', async (status, how) => {
    early.answer(how);
    const before = early.heads();
    const answer = await post(gateway, { path: '/early', body });
    expect(answer.status).toBe(status);
    expect((await gateway.record(answer.id)).upstream_status).toBe(status);
    expect(early.heads()).toBe(before + 1);
  });
});
