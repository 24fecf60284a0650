import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const common = { addresses: 'any', upstream: 'app' };
  gateway = await startGateway({
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams: { app: upstream.url },
    routes: [
      { name: 'plain', path: '/plain', ...common },
      { name: 'pass', path: '/pass', webhook_delivery: 'pass', ...common },
      { name: 'codat', path: '/codat', sender: 'codat', signature: { secrets: [secret] }, ...common },
      {
        name: 'alerts',
        path: '/alerts',
        sender: 'codat-alerts',
        certificate: 'none',
        unsafe_open: true,
        ...common,
      },
    ],
  });
});
afterEach(() => upstream.answer());

const answering = (status: number, headers: Record<string, string | string[]> = {}, body = ''): void =>
  upstream.answer((_request, response) => response.writeHead(status, headers).end(body));
const plain = (method = 'POST'): Promise<Answer> =>
  post(gateway, { path: '/plain', method, ...(method === 'POST' ? { body: 'x' } : {}) });
const codat = (): Promise<Answer> => post(gateway, { path: '/codat', body: '{}', sign: { secret } });
const alerts = (): Promise<Answer> => post(gateway, { path: '/alerts', body: '{}' });

describe('without a sender the answer passes unchanged', () => {
  test.each([
    200, 201, 202, 207, 299, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 409, 410, 418, 422, 425, 429,
    500, 501, 502, 503, 504, 522, 599,
  ])('%i with its headers and body', async (status) => {
    answering(status, { 'content-type': 'text/odd', location: '/elsewhere', 'x-own': 'kept' }, 'the body');
    const answer = await plain();
    expect(answer.status).toBe(status);
    expect(['content-type', 'location', 'x-own'].map((name) => answer.header(name))).toEqual([
      'text/odd',
      '/elsewhere',
      'kept',
    ]);
    expect(answer.body.toString()).toBe('the body');
    const record = await gateway.record(answer.id);
    expect([record.status, record.upstream_status, record.upstream]).toEqual([
      status,
      status,
      record.upstream,
    ]);
  });

  test('repeated headers stay apart, hop-by-hop headers and our own names do not pass', async () => {
    answering(200, {
      'set-cookie': ['a=1', 'b=2'],
      'keep-alive': 'timeout=99',
      connection: 'x-hop, keep-alive',
      'x-hop': 'gone',
      'proxy-authenticate': 'Basic',
      'x-request-id': 'theirs',
    });
    const answer = await plain();
    const record = await expectDelivered(gateway, answer);
    const names = answer.rawHeaders.filter((_, place) => place % 2 === 0).map((name) => name.toLowerCase());
    expect(answer.rawHeaders.filter((_, place) => names[(place - 1) / 2] === 'set-cookie')).toEqual([
      'a=1',
      'b=2',
    ]);
    expect(names).not.toContain('x-hop');
    expect(names).not.toContain('proxy-authenticate');
    expect(answer.header('keep-alive') ?? '').not.toContain('99');
    expect(answer.id).toBe(record.id);
    expect(answer.id).not.toBe('theirs');
    expect(names.filter((name) => name === 'date')).toHaveLength(1);
  });

  test('webhook-delivery is stripped unless the route lets it pass', async () => {
    answering(200, { 'webhook-delivery': 'disable' });
    expect((await plain()).header('webhook-delivery')).toBeUndefined();
    const passed = await post(gateway, { path: '/pass', body: 'x' });
    expect(passed.header('webhook-delivery')).toBe('disable');
  });
});

describe('answers without a body', () => {
  test('HEAD: the length is told, no byte follows, and the connection goes on', async () => {
    upstream.answer((_request, response) => response.writeHead(200, { 'content-length': '1000' }).end());
    const connection = await connect(gateway);
    const answer = await post(gateway, { path: '/plain', method: 'HEAD', on: connection });
    await expectDelivered(gateway, answer);
    expect(answer.header('content-length')).toBe('1000');
    upstream.answer();
    await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x', on: connection }));
    connection.close();
  });

  test.each([204, 304])(
    '%i has no body and no Content-Length of one, and the connection goes on',
    async (status) => {
      answering(status, { etag: '"1"' });
      const connection = await connect(gateway);
      const answer = await post(gateway, { path: '/plain', method: 'GET', on: connection });
      expect([answer.status, answer.header('etag'), answer.header('transfer-encoding')]).toEqual([
        status,
        '"1"',
        undefined,
      ]);
      if (status === 204) expect(answer.header('content-length')).toBeUndefined();
      upstream.answer();
      await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x', on: connection }));
      connection.close();
    },
  );

  test('an empty 200 has Content-Length 0 or an empty chunked body', async () => {
    answering(200);
    const answer = await plain();
    await expectDelivered(gateway, answer);
    expect(answer.body.length).toBe(0);
  });
});

describe('with a sender', () => {
  test('a 2xx passes with its body', async () => {
    answering(202, { 'content-type': 'text/plain' }, 'queued');
    const answer = await codat();
    await expectDelivered(gateway, answer, 202);
    expect(answer.body.toString()).toBe('queued');
  });

  test.each([301, 302, 303, 307, 308])(
    '%i never passes: 502 upstream.redirect without Location',
    async (status) => {
      answering(status, { location: 'https://evil.example.com/' }, 'go there');
      for (const send of [codat, alerts]) {
        const answer = await send();
        const record = await expectProblem(gateway, answer, 502, 'upstream.redirect');
        expect([answer.header('location'), record.upstream_status]).toEqual([undefined, status]);
      }
    },
  );

  test.each([
    [500, 503, 'upstream.failed'],
    [501, 503, 'upstream.failed'],
    [503, 503, 'upstream.failed'],
    [401, 503, 'upstream.failed'],
    [404, 503, 'upstream.failed'],
    [400, 400, 'upstream.refused'],
    [422, 422, 'upstream.refused'],
    [429, 429, undefined],
  ] as const)(
    'Codat’s alerts, which would be lost after most statuses, get for %i a %i of our own',
    async (status, told, reason) => {
      answering(status, { 'x-internal': 'host-17', 'retry-after': '7' }, 'stack trace of host-17');
      const answer = await alerts();
      const record = await expectProblem(
        gateway,
        answer,
        told,
        reason ?? ((await gateway.record(answer.id)).reason as string),
      );
      expect([record.upstream_status, answer.header('x-internal')]).toEqual([status, undefined]);
      if (told === 503 || told === 429) expect(answer.header('retry-after')).toBe('7');
    },
  );

  test('Retry-After as a date is passed on too', async () => {
    const date = new Date(Date.now() + 60_000).toUTCString();
    answering(503, { 'retry-after': date });
    expect((await codat()).header('retry-after')).toBe(date);
  });
});
