import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createSecureServer, type Http2SecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAuthority, defaults } from './support/ca.ts';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

let folder: string;
let gateway: Gateway;
let secure: Upstream;
let mutual: Upstream;
let socket: Upstream;
let modern: Http2SecureServer;
let pair: [Upstream, Upstream];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-sock-'));
  const { authority, server } = await defaults();
  const internal = await createAuthority('Internal CA');
  const postern = await internal.issue({ commonName: 'postern' });
  const ours = { cert: server.certificate, key: server.key };
  secure = await startUpstream({ tls: ours });
  mutual = await startUpstream({
    tls: { ...ours, ca: internal.certificate, requestCert: true, rejectUnauthorized: true },
  });
  socket = await startUpstream({ socketPath: join(folder, 'app.sock') });
  pair = [await startUpstream(), await startUpstream()];
  modern = createSecureServer({ ...ours, allowHTTP1: true }, (request, response) => {
    response.end(request.httpVersion);
  });
  modern.listen(0, '127.0.0.1');
  await once(modern, 'listening');
  const { port } = modern.address() as AddressInfo;
  const files = {
    'upstream-ca.pem': authority.certificate,
    'internal-ca.pem': internal.certificate,
    'postern.pem': postern.certificate,
    'postern-client.key': postern.key,
  };
  const client = { certificate: 'postern.pem', private_key: 'postern-client.key' };
  const upstreams = {
    secure: { targets: [secure.url], tls: { ca: 'upstream-ca.pem' } },
    'wrong-ca': { targets: [secure.url], tls: { ca: 'internal-ca.pem' } },
    'no-ca': secure.url,
    mutual: { targets: [mutual.url], tls: { ca: 'upstream-ca.pem', ...client } },
    'no-client': { targets: [mutual.url], tls: { ca: 'upstream-ca.pem' } },
    socket: socket.url,
    modern: { targets: [`https://127.0.0.1:${port}`], tls: { ca: 'upstream-ca.pem' } },
    pair: { targets: pair.map((one) => one.url) },
    narrow: { targets: ['http://127.0.0.1:1'], connections: 1 },
  };
  gateway = await startGateway(
    {
      upstreams,
      routes: Object.keys(upstreams).map((name) => ({
        name,
        path: `/${name}`,
        addresses: 'any',
        upstream: name,
      })),
    },
    { files },
  );
});
afterAll(async () => {
  modern.close();
  await rm(folder, { recursive: true, force: true });
});

const send = (path: string) => post(gateway, { path, body: 'x' });

test('TLS with a CA of its own', async () => {
  const record = await expectDelivered(gateway, await send('/secure'));
  const seen = await secure.request((one) => headerOf(one, 'x-request-id') === record.id);
  expect([seen.target, headerOf(seen, 'host')]).toEqual(['/secure', secure.authority]);
});

test.each(['/wrong-ca', '/no-ca'])(
  '%s: an upstream whose certificate does not hold gets no request',
  async (path) => {
    const before = secure.heads();
    await expectProblem(gateway, await send(path), 502, 'upstream.unreachable');
    expect(secure.heads()).toBe(before);
  },
);

test('mutual TLS: the upstream sees the gateway’s certificate', async () => {
  const record = await expectDelivered(gateway, await send('/mutual'));
  const seen = await mutual.request((one) => headerOf(one, 'x-request-id') === record.id);
  expect(seen.clientName).toBe('postern');
});

test('an upstream that wants a certificate and gets none has no request', async () => {
  const before = mutual.heads();
  const answer = await send('/no-client');
  expect(answer.status).toBe(502);
  expect((await gateway.record(answer.id)).reason).toMatch(/^upstream\.(unreachable|reset)$/);
  expect(mutual.heads()).toBe(before);
});

test('HTTP/1.1 is spoken, also to an upstream that offers HTTP/2', async () => {
  const answer = await send('/modern');
  await expectDelivered(gateway, answer);
  expect(answer.body.toString()).toBe('1.1');
});

test('a unix socket', async () => {
  const record = await expectDelivered(gateway, await send('/socket'));
  const seen = await socket.request((one) => headerOf(one, 'x-request-id') === record.id);
  expect([seen.target, seen.body.toString()]).toEqual(['/socket', 'x']);
});

test('several targets share the work', async () => {
  const answers = await Promise.all(Array.from({ length: 10 }, () => send('/pair')));
  for (const answer of answers) await expectDelivered(gateway, answer);
  expect(pair.map((one) => one.heads() > 0)).toEqual([true, true]);
  expect(pair[0].heads() + pair[1].heads()).toBe(10);
});

test('those who wait for a connection that cannot be made are all told, and nothing else goes wrong', async () => {
  const [since, bodies] = [gateway.lines.length, ['1', '2', '3', '4']];
  const answers = await Promise.all(bodies.map((body) => post(gateway, { path: '/narrow', body })));
  for (const answer of answers) await expectProblem(gateway, answer, 502, 'upstream.unreachable');
  const others = gateway.lines.slice(since).filter(({ msg }) => msg !== 'request');
  expect(others.map(({ msg, target }) => [msg, target])).toEqual([['target ejected', 'http://127.0.0.1:1']]);
});
