import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { RateLine } from '../src/check/rate-line.ts';
import { runCommand } from './support/command.ts';
import { expectDelivered, expectDuplicate, expectProblem, expectRefused } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers } from './support/hold.ts';
import { metric, untilMetric } from './support/metrics.ts';
import { configText, reload } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import {
  type Answer,
  type Connection,
  connect,
  post,
  type RequestOptions,
  requestBytes,
} from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const HOUR = '1h';
/** A machine that is busy with other tests must not turn requests away for that. */
const PATIENT = { event_loop_delay: '1m' };
/** Times that are over are noticed ten times a second. */
const SWEEPS_MS = 250;
/** Node's client closes the other side by itself unless it is told not to. */
const STAYS = { tls: { allowHalfOpen: true } as ConnectionOptions };
const IMPATIENT = `
title: Does not wait long
documentation: https://example.com/
methods: [POST]
deadline: 4s
retries: { statuses: not-2xx }
redirects: failed
`;
let upstream: Upstream;
let gateway: Gateway;

const route = (name: string, rate_limit: unknown, more: object = {}) => ({
  name,
  path: `/${name}`,
  addresses: 'any',
  upstream: 'app',
  rate_limit,
  ...more,
});
const start = (routes: object[], limits: object = {}): Promise<Gateway> =>
  startGateway(
    {
      tls: { ...baseTls(), client_certificate: 'optional' },
      upstreams: { app: upstream.url },
      limits: { ...PATIENT, ...limits },
      routes,
    },
    { files: { 'senders/impatient.yaml': IMPATIENT } },
  );

beforeAll(async () => {
  upstream = await startUpstream();
  const signature = { scheme: 'standard-webhooks', secrets: [secret] };
  const signed = { certificate: 'none', signature };
  gateway = await start(
    [
      route('shaped', { rate: '1/700ms', wait: '1m' }),
      route('crowd', { rate: '1/50ms', wait: '1m' }),
      route('keys', { rate: '1/1m', by: 'header:x-key', wait: HOUR }),
      route('bounded', { rate: '1/1m', wait: HOUR, waiting: 2 }),
      route('short', { rate: '1/1h', wait: '1m' }),
      route('left', { rate: '1/1m', wait: HOUR, waiting: 1 }),
      route('half-closed', { rate: '1/500ms', wait: '1m' }),
      route('deadline', { rate: '1/10m', wait: HOUR }, { sender: 'impatient' }),
      route('in-time', { rate: '1/100ms', wait: HOUR }, { sender: 'impatient' }),
      route('late-body', { rate: '1/2200ms', wait: '1m' }),
      route('signed', { rate: '1/300ms', wait: '1m' }, signed),
      route('signed-left', { rate: '1/1m', wait: HOUR, waiting: 1 }, signed),
    ],
    { body_timeout: '2s' },
  );
});
afterEach(() => upstream.answer());
afterAll(async () => expect(await gateway.stop()).toBe(0));

const underWay = (on: Gateway, count: number) =>
  untilMetric(on, 'postern_requests_in_flight', (value) => value === count);

/** Sends one more request on a connection of its own, and resolves when the gateway has it. */
async function enter(on: Gateway, options: RequestOptions): Promise<Connection> {
  const before = await metric(on, 'postern_requests_in_flight');
  const connection = await connect(on);
  connection.send(requestBytes({ body: 'x', ...options }));
  await underWay(on, before + 1);
  return connection;
}

/** The same of one that is refused at once. */
async function refusedAtOnce(path: string, retryAfterS: number, options: RequestOptions = {}): Promise<void> {
  const act = async (): Promise<Answer> => {
    const connection = await connect(gateway);
    connection.send(requestBytes({ path, body: 'x', ...options }));
    return await connection.answer();
  };
  const { answer, record } = await expectRefused(gateway, upstream, act, 429, 'rate.exceeded');
  expect(record.ms.waited).toBeUndefined();
  const seconds = Number(answer.header('retry-after'));
  expect(seconds).toBeLessThanOrEqual(retryAfterS);
  expect(seconds).toBeGreaterThan(retryAfterS - 60);
}

test('requests over the rate wait their turn, first come first served, and the record says how long', async () => {
  const held = holdAnswers(upstream);
  const before = upstream.requests.length;
  const connections: Connection[] = [];
  const bodies = ['first', 'second', 'third', 'fourth'];
  // None of them is answered before all have come, so each has come before the next.
  for (const body of bodies) connections.push(await enter(gateway, { path: '/shaped', body }));
  await upstream.request((one) => one.body.toString() === 'fourth');
  held.release();
  expect(upstream.requests.slice(before).map(({ body }) => body.toString())).toEqual(bodies);
  const waits: (number | undefined)[] = [];
  for (const connection of connections) {
    const record = await expectDelivered(gateway, await connection.answer());
    waits.push(record.ms.waited);
  }
  // The last one's turn is two seconds after the first one's.
  expect([waits[0], (waits.at(-1) ?? 0) > 0]).toEqual([undefined, true]);
});

test('many at once all get in, each once', async () => {
  const before = upstream.requests.length;
  const connections = await Promise.all(Array.from({ length: 12 }, () => connect(gateway)));
  for (const [place, connection] of connections.entries())
    connection.send(requestBytes({ path: '/crowd', body: `one of twelve: ${place}` }));
  const records = await Promise.all(
    connections.map(async (connection) => expectDelivered(gateway, await connection.answer())),
  );
  const seen = upstream.requests.slice(before).map(({ body }) => body.toString());
  expect(seen.toSorted()).toEqual(connections.map((_, place) => `one of twelve: ${place}`).toSorted());
  expect(records.some(({ ms }) => (ms.waited ?? 0) > 0)).toBe(true);
});

test('each key has its own turns', async () => {
  const of = (key: string) => ({ path: '/keys', headers: [['x-key', key]] as [string, string][], body: 'x' });
  for (const key of ['a', 'b']) {
    const record = await expectDelivered(gateway, await post(gateway, of(key)));
    expect(record.ms.waited).toBeUndefined();
  }
  const waiting = await enter(gateway, of('a'));
  const record = await expectDelivered(gateway, await post(gateway, of('c')));
  expect(record.ms.waited).toBeUndefined();
  waiting.close();
  await underWay(gateway, 0);
});

test('as many wait as the limit lets, one more is refused, and so is who would wait too long', async () => {
  await expectDelivered(gateway, await post(gateway, { path: '/short', body: 'x' }));
  await refusedAtOnce('/short', 3600);
  await refusedAtOnce('/short', 3600);

  await expectDelivered(gateway, await post(gateway, { path: '/bounded', body: 'x' }));
  const waiting = [await enter(gateway, { path: '/bounded' }), await enter(gateway, { path: '/bounded' })];
  await refusedAtOnce('/bounded', 180);
  await refusedAtOnce('/bounded', 180);
  for (const connection of waiting) connection.close();
  await underWay(gateway, 0);
});

describe('a sender that leaves', () => {
  test('gives its place in the line up, and nothing of it gets to the upstream', async () => {
    await expectDelivered(gateway, await post(gateway, { path: '/left', body: 'x' }));
    const before = upstream.heads();
    for (let time = 0; time < 3; time++) {
      const since = gateway.lines.length;
      const connection = await enter(gateway, { path: '/left', body: 'a body that has come whole' });
      await refusedAtOnce('/left', 120 + 60 * time);
      connection.close();
      const record = await gateway.record(({ reason }) => reason === 'body.incomplete', since);
      expect([record.path, record.status, record.outcome]).toEqual(['/left', undefined, 'failed']);
      expect(record.ms.waited).toBeGreaterThan(0);
      await underWay(gateway, 0);
    }
    expect(upstream.heads()).toBe(before);
  });

  test('by closing its own side only has not left: it gets its answer', async () => {
    await expectDelivered(gateway, await post(gateway, { path: '/half-closed', body: 'x' }));
    for (const chunkBytes of [undefined, 3]) {
      const connection = await connect(gateway, STAYS);
      const chunked = chunkBytes === undefined ? {} : { chunkBytes };
      const body = `whole: ${chunkBytes}`;
      connection.socket.end(requestBytes({ path: '/half-closed', body, ...chunked }));
      const record = await expectDelivered(gateway, await connection.answer());
      expect(record.ms.waited).toBeGreaterThan(0);
      expect(upstream.requests.at(-1)?.body.toString()).toBe(body);
    }
  });

  test('by closing its own side in the middle of its body has left', async () => {
    const since = gateway.lines.length;
    const connection = await connect(gateway, STAYS);
    connection.socket.end('POST /left HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf');
    expect(await connection.closed()).toBe('');
    const record = await gateway.record(({ reason }) => reason === 'body.incomplete', since);
    expect([record.path, record.status]).toEqual(['/left', undefined]);
  });
});

describe('the sender’s deadline', () => {
  test('a turn beyond half of it is none', async () => {
    await expectDelivered(gateway, await post(gateway, { path: '/deadline', body: 'x' }));
    await refusedAtOnce('/deadline', 600);
  });

  test('a turn within it is', async () => {
    const connections = await Promise.all([connect(gateway), connect(gateway)]);
    for (const connection of connections) connection.send(requestBytes({ path: '/in-time', body: 'x' }));
    for (const connection of connections) await expectDelivered(gateway, await connection.answer());
  });
});

test('the time for a body begins when its sender need not wait any more', async () => {
  await expectDelivered(gateway, await post(gateway, { path: '/late-body', body: 'x' }));
  const connection = await connect(gateway);
  connection.send(
    'POST /late-body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n',
  );
  // By now the time for a body is over, if it had begun with the head.
  expect(await connection.interim()).toBe(100);
  await new Promise((resolve) => setTimeout(resolve, SWEEPS_MS));
  connection.send('late');
  const record = await expectDelivered(gateway, await connection.answer());
  expect([record.bytes, (record.ms.waited ?? 0) > 0]).toEqual([4, true]);
});

describe('where only the signature proves who sends', () => {
  test('an event waits behind its signature, and its copy is a duplicate that has waited too', async () => {
    const id = `msg_${randomUUID()}`;
    const event = { path: '/signed', body: '{"a":1}', sign: { secret, id } };
    const held = holdAnswers(upstream);
    const [first, second] = [await enter(gateway, event), await enter(gateway, event)];
    await held.arrived;
    held.release();
    await expectDelivered(gateway, await first.answer());
    const answer = await second.answer();
    await expectDuplicate(gateway, answer);
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('its body is counted while it waits, and freed when its sender leaves, with nothing claimed', async () => {
    const body = `{"a":"${'b'.repeat(100_000)}"}`;
    const event = () => ({ path: '/signed-left', body, sign: { secret, id } });
    const id = `msg_${randomUUID()}`;
    const passed = { ...event(), sign: { secret, id: `msg_${randomUUID()}` } };
    await expectDelivered(gateway, await post(gateway, { identity: 'none', ...passed }));
    for (let time = 0; time < 2; time++) {
      const since = gateway.lines.length;
      const connection = await enter(gateway, event());
      await untilMetric(gateway, 'postern_buffered_body_bytes', (bytes) => bytes >= body.length);
      connection.close();
      const record = await gateway.record(({ reason }) => reason === 'body.incomplete', since);
      expect([record.path, record.status, record.message_id]).toEqual(['/signed-left', undefined, id]);
      await untilMetric(gateway, 'postern_buffered_body_bytes', (bytes) => bytes === 0);
    }
    expect(deliveriesOf(upstream, id)).toBe(0);
  });
});

describe('when the process ends', () => {
  test('those whose turn comes in time get it', async () => {
    const ending = await start([route('soon', { rate: '1/400ms', wait: '1m' })]);
    const connections = [];
    const held = holdAnswers(upstream);
    for (let count = 0; count < 3; count++) connections.push(await enter(ending, { path: '/soon' }));
    ending.signal('SIGTERM');
    await ending.line(({ msg }) => msg === 'draining');
    upstream.answer();
    held.release();
    for (const connection of connections) {
      const answer = await connection.answer();
      await expectDelivered(ending, answer);
      expect(answer.header('connection')).toBe('close');
    }
    expect(await ending.exited).toBe(0);
  });

  test('the others are told to come again', async () => {
    const ending = await start([route('never', { rate: '1/10m', wait: HOUR })], { drain_timeout: '2s' });
    await expectDelivered(ending, await post(ending, { path: '/never', body: 'x' }));
    const waiting = [await enter(ending, { path: '/never' }), await enter(ending, { path: '/never' })];
    const before = upstream.heads();
    ending.signal('SIGTERM');
    for (const connection of waiting) {
      const answer = await connection.answer();
      await expectProblem(ending, answer, 503, 'gateway.draining');
      expect(answer.header('retry-after')).toMatch(/^\d+$/);
    }
    expect(await ending.exited).toBe(0);
    expect(upstream.heads()).toBe(before);
  });
});

test('a new configuration leaves those who wait their turns, and goes on counting', async () => {
  const config = (rate_limit: object) => ({
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams: { app: upstream.url },
    limits: PATIENT,
    routes: [route('kept', rate_limit)],
  });
  const changing = await startGateway(config({ rate: '1/3s', wait: '1m' }));
  await expectDelivered(changing, await post(changing, { path: '/kept', body: 'x' }));
  const waiting = await enter(changing, { path: '/kept' });
  await reload(changing, { 'postern.yaml': configText(config({ rate: '1/3s' })) });
  const late = await connect(changing);
  late.send(requestBytes({ path: '/kept', body: 'x' }));
  await expectProblem(changing, await late.answer(), 429, 'rate.exceeded');
  const record = await expectDelivered(changing, await waiting.answer());
  expect(record.ms.waited).toBeGreaterThan(0);
  expect(await changing.stop()).toBe(0);
});

test('postern routes says who waits, and postern explain that a request may', async () => {
  const config = ['--config', join(gateway.folder, 'postern.yaml')];
  const routes = await runCommand(['routes', ...config, '--json']);
  expect(routes.stdout).toContain('1 per 60 s, burst 1, by route, 2 wait up to 3600 s');
  const capture = join(gateway.folder, 'capture.http');
  await writeFile(capture, requestBytes({ path: '/bounded', body: 'x' }));
  const options = ['--request', capture, '--address', '203.0.113.9', '--no-certificate'];
  const { stdout } = await runCommand(['explain', ...config, ...options]);
  expect(stdout).toMatch(
    /^rate by route +not judged +.*; over the rate it waits up to 3600 s for its turn$/m,
  );
});

test('in a line the turns of one key keep their order, whatever times a clock elsewhere gives', async () => {
  const line = new RateLine();
  const nowMs = performance.now();
  const called: string[] = [];
  const join = (name: string, key: string, inMs: number) =>
    line.join(key, nowMs + inMs).come.then((missed) => called.push(missed?.reason ?? name));
  const left = line.join('c', nowMs + 1);
  const all = [join('a1', 'a', 30), join('a2', 'a', 10), join('b1', 'b', 20), join('b2', 'b', 20)];
  left.giveUp({ reason: 'body.incomplete' });
  expect([await left.come, line.size]).toEqual([{ reason: 'body.incomplete' }, 4]);
  await Promise.all(all);
  expect([called, line.size]).toEqual([['b1', 'b2', 'a1', 'a2'], 0]);
  const last = join('c1', 'c', 60_000);
  line.giveUpAll({ reason: 'gateway.draining' });
  await Promise.all([last, join('c2', 'c', 60_000)]);
  expect([called.slice(4), line.size]).toEqual([['gateway.draining', 'gateway.draining'], 0]);
});
