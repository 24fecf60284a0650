import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { connect, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const KIB = 1024;
let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const common = { addresses: 'any', upstream: 'app' };
  const upstreams = { app: upstream.url };
  gateway = await startGateway({
    upstreams,
    limits: { body: '1KiB' },
    routes: [
      { name: 'small', path: '/small', ...common },
      { name: 'large', path: '/large', body_limit: '1MiB', ...common },
      {
        name: 'closed',
        path: '/closed',
        certificate: { names: ['CN:nobody'] },
        body_limit: '1MiB',
        ...common,
      },
    ],
  });
});

const head = (path: string, fields: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n\r\n`;

async function arrived(id: string): Promise<Buffer> {
  return (await upstream.request((one) => headerOf(one, 'x-request-id') === id)).body;
}

describe('every byte arrives as it was sent', () => {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, place) => place % 256));
  test.each([undefined, 1, 7, 1000])('in chunks of %s', async (chunkBytes) => {
    const record = await expectDelivered(
      gateway,
      await post(gateway, {
        path: '/small',
        body: bytes,
        ...(chunkBytes === undefined ? {} : { chunkBytes }),
      }),
    );
    expect((await arrived(record.id)).equals(bytes)).toBe(true);
    expect(record.bytes).toBe(1000);
  });

  test('a large one, in many reads', async () => {
    const body = Buffer.alloc(KIB * KIB, 'abcdefg');
    const record = await expectDelivered(gateway, await post(gateway, { path: '/large', body }));
    expect((await arrived(record.id)).equals(body)).toBe(true);
  });

  test('an empty one', async () => {
    const record = await expectDelivered(gateway, await post(gateway, { path: '/small', body: '' }));
    expect((await arrived(record.id)).length).toBe(0);
  });
});

describe('body.too_large', () => {
  test.each([undefined, 100])(
    'a body of the limit passes and one byte more does not, chunked in %s',
    async (chunkBytes) => {
      const how = chunkBytes === undefined ? {} : { chunkBytes };
      await expectDelivered(
        gateway,
        await post(gateway, { path: '/small', body: Buffer.alloc(KIB), ...how }),
      );
      const over = () => post(gateway, { path: '/small', body: Buffer.alloc(KIB + 1), ...how });
      await expectRefused(gateway, upstream, over, 413, 'body.too_large');
    },
  );

  test('Content-Length is enough: no byte of the body is waited for', async () => {
    const connection = await connect(gateway);
    await expectRefused(
      gateway,
      upstream,
      () => {
        connection.send(head('/small', 'Content-Length: 1025'));
        return connection.answer();
      },
      413,
      'body.too_large',
    );
    connection.close();
  });

  test('a chunked body is cut at the limit, not at its end', async () => {
    const connection = await connect(gateway);
    await expectRefused(
      gateway,
      upstream,
      () => {
        connection.send(`${head('/small', 'Transfer-Encoding: chunked')}401\r\n${'x'.repeat(1025)}\r\n`);
        return connection.answer();
      },
      413,
      'body.too_large',
    );
    connection.close();
  });

  test('a Content-Length beyond all numbers is too large or malformed, never small', async () => {
    const connection = await connect(gateway);
    connection.send(head('/small', `Content-Length: ${'9'.repeat(30)}`));
    expect([400, 413]).toContain((await connection.answer()).status);
    connection.close();
  });
});

describe('a refused request’s body', () => {
  test('of up to 64 KiB is dropped and the connection kept', async () => {
    const connection = await connect(gateway);
    const refused = () => post(gateway, { path: '/closed', body: Buffer.alloc(64 * KIB), on: connection });
    const { answer } = await expectRefused(gateway, upstream, refused, 403, 'certificate.not_allowed');
    expect(answer.header('connection')).not.toBe('close');
    await expectDelivered(gateway, await post(gateway, { path: '/small', body: 'next', on: connection }));
    connection.close();
  });

  test('chunked, is dropped and the connection kept', async () => {
    const connection = await connect(gateway);
    const refused = () =>
      post(gateway, { path: '/closed', body: 'x'.repeat(3000), chunkBytes: 500, on: connection });
    await expectRefused(gateway, upstream, refused, 403, 'certificate.not_allowed');
    await expectDelivered(gateway, await post(gateway, { path: '/small', body: 'next', on: connection }));
    connection.close();
  });

  test('beyond that ends the connection, with the answer still readable', async () => {
    const connection = await connect(gateway);
    const refused = () => post(gateway, { path: '/closed', body: Buffer.alloc(200 * KIB), on: connection });
    const { answer } = await expectRefused(gateway, upstream, refused, 403, 'certificate.not_allowed');
    expect(answer.header('connection')).toBe('close');
    expect(await connection.closed()).toBe('');
  });
});

describe('Expect: 100-continue', () => {
  const fields = 'Expect: 100-continue\r\nContent-Length: 4';
  test('is answered 100 once the head checks have passed', async () => {
    const connection = await connect(gateway);
    connection.send(head('/small', fields));
    expect(await connection.interim()).toBe(100);
    connection.send('body');
    const record = await expectDelivered(gateway, await connection.answer());
    expect((await arrived(record.id)).toString()).toBe('body');
    connection.close();
  });

  test.each<[string, string, number, string]>([
    ['/closed', fields, 403, 'certificate.not_allowed'],
    ['/nowhere', fields, 404, 'route.not_found'],
    ['/small', 'Expect: 100-continue\r\nContent-Length: 1025', 413, 'body.too_large'],
  ])('is answered with the refusal alone: %s %#', async (path, own, status, reason) => {
    const connection = await connect(gateway);
    await expectRefused(
      gateway,
      upstream,
      () => {
        connection.send(head(path, own));
        return connection.answer();
      },
      status,
      reason,
    );
    expect(connection.interims()).toEqual([]);
    connection.close();
  });

  test('refused, and its body sent all the same, is not taken for the next request', async () => {
    const before = upstream.heads();
    const hidden = 'POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n';
    const connection = await connect(gateway);
    connection.send(head('/nowhere', `Expect: 100-continue\r\nContent-Length: ${hidden.length}`));
    const answer = await connection.answer();
    expect(answer.status).toBe(404);
    connection.send(hidden);
    if (answer.header('connection') === 'close') {
      expect(await connection.closed()).toBe('');
      expect(upstream.heads()).toBe(before);
    } else {
      connection.send(head('/small', 'X-Next: 1\r\nContent-Length: 4').concat('next'));
      const record = await expectDelivered(gateway, await connection.answer());
      expect(record.bytes).toBe(4);
      expect(upstream.heads()).toBe(before + 1);
    }
    connection.close();
  });
});
