import { beforeAll, expect, test } from 'vitest';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { connect, post, requestBytes } from './support/sender.ts';
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

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n';

test.each([
  '//',
  '//any',
  '/a//b',
  '/a//',
  '/./a',
  '/a/./b',
  '/a/.',
  '/.',
  '/../a',
  '/a/../b',
  '/a/..',
  '/..',
  '/a/..;/b',
  '/a/..;x=1/b',
  '/.;/a',
  '/;x/a',
  '/a/;/b',
  '/a/..%3b/b',
  '/a%0ab',
  '/a%7fb',
  '/a%2fb',
  '/a%2Fb',
  '/a%5cb',
  '/a%5Cb',
  '/a%00',
  '/%2e/a',
  '/%2E%2e/a',
  '/a/%2e',
  '/.%2e/a',
  '/a%2eb',
  '/a\\b',
  '\\any',
  '/a\x01b',
  '/a\x7fb',
  '/\xe9',
  '/a\tb',
  'http://localhost/any',
  'https://localhost/any',
  'HTTP://other/any',
  'localhost:443',
  'any',
  '/any#part',
  '/any?x=1#part',
  '/any?\xe9',
  '/any?a\x01b',
])('%j', async (target) => {
  const before = upstream.heads();
  const connection = await connect(gateway);
  connection.send(requestBytes({ path: target, body: '' }));
  await expectProblem(gateway, await connection.answer(), 400, 'target.ambiguous');
  expect(upstream.heads()).toBe(before);
  connection.close();
});

test('a body behind it is not taken for the next request', async () => {
  const before = upstream.heads();
  const connection = await connect(gateway);
  connection.send(requestBytes({ path: '/a//b', body: SMUGGLED }));
  await expectProblem(gateway, await connection.answer(), 400, 'target.ambiguous');
  connection.send(requestBytes({ path: '/next', body: '' }));
  const record = await expectDelivered(gateway, await connection.answer());
  expect(record.path).toBe('/next');
  expect(upstream.heads()).toBe(before + 1);
  connection.close();
});

test('what stands in the query is the upstream’s business', async () => {
  const path = '/any?url=http://x//y/../z%2f%2e&a=\\';
  const answer = await post(gateway, { path: path.replace('\\', ''), body: '' });
  const record = await expectDelivered(gateway, answer);
  const seen = await upstream.request((one) => headerOf(one, 'x-request-id') === record.id);
  expect([seen.target, record.path]).toEqual([path.replace('\\', ''), '/any']);
});
