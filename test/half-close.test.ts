import { randomUUID } from 'node:crypto';
import type { ConnectionOptions } from 'node:tls';
import { beforeAll, expect, test } from 'vitest';
import { expectDelivered } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { newSecret } from './support/secrets.ts';
import { connect, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
/** Node's client closes the other side by itself unless it is told not to. */
const STAYS = { tls: { allowHalfOpen: true } as ConnectionOptions };

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const signature = { scheme: 'standard-webhooks', secrets: [secret] };
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    // Longer than any test waits.
    limits: { body_timeout: '60s' },
    routes: [
      { name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' },
      { name: 'signed', path: '/signed', addresses: 'any', upstream: 'app', signature },
    ],
  });
});

const newBody = () => `{"event":"${randomUUID()}"}`;
const seen = (body: string) => upstream.requests.filter((one) => one.body.toString() === body).length;

test.each(['/plain', '/signed'])(
  'a sender that closes its side only still gets its answer: %s',
  async (path) => {
    const body = newBody();
    const held = holdAnswers(upstream);
    const since = gateway.lines.length;
    const connection = await connect(gateway, STAYS);
    connection.socket.end(requestBytes({ path, body, ...(path === '/signed' ? { sign: { secret } } : {}) }));
    expect(await connection.interim()).toBe(100);
    await held.arrived;
    held.release();
    upstream.answer();
    const answer = await connection.answer();
    expect([answer.status, answer.body.toString(), answer.header('connection')]).toEqual([
      200,
      'held',
      'close',
    ]);
    expect(await connection.closed()).toBe('');
    expect(seen(body)).toBe(1);
    const record = await gateway.record((one) => one.path === path, since);
    expect([record.status, record.outcome]).toEqual([200, 'delivered']);
  },
);

test('requests sent ahead of the close are all answered, in order; a half one is not taken for a request', async () => {
  const bodies = [newBody(), newBody(), newBody()];
  const connection = await connect(gateway, STAYS);
  const requests = bodies.map((body) => requestBytes({ path: '/plain', body }));
  connection.socket.end(Buffer.concat([...requests, Buffer.from('POST /plain HTTP/1.1\r\nHost: local')]));
  for (const _ of bodies) await expectDelivered(gateway, await connection.answer());
  expect(await connection.closed()).toBe('');
  expect(bodies.map(seen)).toEqual([1, 1, 1]);
  const places = bodies.map((body) => upstream.requests.findIndex((one) => one.body.toString() === body));
  expect(places).toEqual([...places].sort((a, b) => a - b));
});

test('the last answer says that it is the last', async () => {
  const connection = await connect(gateway, STAYS);
  connection.socket.end(Buffer.concat([0, 1].map(() => requestBytes({ path: '/plain', body: newBody() }))));
  expect((await connection.answer()).header('connection')).toBeUndefined();
  expect((await connection.answer()).header('connection')).toBe('close');
  expect(await connection.closed()).toBe('');
});

test('a close in the middle of a body is the end of it, and nothing is delivered', async () => {
  const [before, since] = [upstream.heads(), gateway.lines.length];
  const connection = await connect(gateway, STAYS);
  connection.socket.end('POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf');
  expect(await connection.closed()).toBe('');
  const record = await gateway.record((one) => one.reason === 'body.incomplete', since);
  expect(record.status).toBeUndefined();
  expect(upstream.heads()).toBe(before);
});

const HALF = 'Content-Length: 10\r\n\r\nhalf';

// Nothing more comes of the body: waiting for it would hold its memory for the whole of limits.body_timeout.
test.each([
  ['a body', `POST /plain HTTP/1.1\r\nHost: localhost\r\n${HALF}`, undefined],
  [
    'a chunked body',
    'POST /plain HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nh',
    undefined,
  ],
  ['a body that nobody wants', `POST /other HTTP/1.1\r\nHost: localhost\r\n${HALF}`, 404],
])('%s that is cut short behind a request sent ahead is given up at once', async (_what, second, status) => {
  const body = newBody();
  const held = holdAnswers(upstream);
  const since = gateway.lines.length;
  const connection = await connect(gateway, STAYS);
  connection.socket.end(Buffer.concat([requestBytes({ path: '/plain', body }), Buffer.from(second)]));
  expect(await connection.interim()).toBe(100);
  await held.arrived;
  const heads = upstream.heads();
  held.release();
  upstream.answer();
  expect((await connection.answer()).status).toBe(200);
  if (status !== undefined) expect((await connection.answer()).status).toBe(status);
  expect(await connection.closed()).toBe('');
  const reason = status === undefined ? 'body.incomplete' : 'route.not_found';
  expect((await gateway.record((one) => one.reason === reason, since)).status).toBe(status);
  expect(upstream.heads()).toBe(heads);
});

const refused = (fields = '', body = ''): string =>
  `POST /other HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n${body}`;

// The last refusal is written in the turn in which the end of the connection is heard, and may still be under way.
test.each([
  ['one', [refused()]],
  ['one with a body', [refused('Content-Length: 4\r\n', 'body')]],
  ['two', [refused(), refused()]],
  ['two with bodies', [refused('Content-Length: 4\r\n', 'body'), refused('Content-Length: 4\r\n', 'body')]],
  ['two, the last cut short', [refused(), refused('Content-Length: 5\r\n', 'body')]],
  ['two with chunks', Array(2).fill(refused('Transfer-Encoding: chunked\r\n', '4\r\nbody\r\n0\r\n\r\n'))],
])('all refusals reach a sender that closes its side with its last byte: %s', async (_what, requests) => {
  const bytes = requests.join('');
  const start = requests.length === 1 ? 0 : bytes.indexOf('POST', 1);
  for (const second of [start + 1, start + 20, bytes.length - 1]) {
    const connection = await connect(gateway, STAYS);
    connection.socket.setNoDelay(true);
    for (const piece of [bytes.slice(0, 10), bytes.slice(10, second)])
      await new Promise((resolve) => connection.socket.write(piece, resolve));
    connection.socket.end(bytes.slice(Math.max(10, second)));
    for (const _ of requests) expect((await connection.answer()).status).toBe(404);
    expect(await connection.closed()).toBe('');
  }
});
