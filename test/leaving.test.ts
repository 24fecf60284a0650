import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { readiness } from './support/readiness.ts';
import { newSecret } from './support/secrets.ts';
import { connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

const start = (limits: Record<string, unknown> = {}): Promise<Gateway> => {
  const signature = { scheme: 'standard-webhooks', secrets: [secret] };
  return startGateway({
    limits,
    upstreams: { app: { targets: [upstream.url], connections: 100 } },
    routes: [
      { name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' },
      { name: 'signed', path: '/signed', addresses: 'any', upstream: 'app', signature },
    ],
  });
};
const draining = (gateway: Gateway) => gateway.line(({ msg }) => msg === 'draining');

/**
 * Resolves once the port takes no more connections. One that still waits to be accepted when the listener closes is
 * reset; only then comes the refusal.
 */
async function untilRefused(port: number): Promise<void> {
  for (;;) {
    const outcome = await new Promise<string>((resolve) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        setTimeout(resolve, 20, 'connected');
      });
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
    if (outcome === 'ECONNREFUSED') return;
  }
}

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test('answers what is in flight, takes no new connection, and ends with 0', async () => {
    const gateway = await start();
    const { arrived, release } = holdAnswers(upstream);
    const inFlight = post(gateway, { path: '/plain', body: 'in flight' });
    const idle = await connect(gateway);
    await arrived;
    gateway.signal(signal);
    await untilRefused(gateway.port);
    expect(await idle.closed()).toBe('');
    release();
    const answer = await inFlight;
    await expectDelivered(gateway, answer);
    expect(answer.body.toString()).toBe('held');
    expect(answer.header('connection')).toBe('close');
    expect(await gateway.exited).toBe(0);
    expect(await gateway.stop()).toBe(0);
  });
});

test('200 requests in flight, half of them waiting for their turn, get what the upstream says, each seen once', async () => {
  const gateway = await start();
  const kept = await Promise.all(
    Array.from({ length: 200 }, async (_, number) => {
      const connection = await connect(gateway);
      await expectDelivered(gateway, await post(gateway, { path: '/plain', on: connection }));
      return { connection, number };
    }),
  );
  // What is answered tells one request from the other; some answers are too large to be held whole.
  const wanted = (number: number) => ({
    status: [200, 201, 404, 500][number % 4] as number,
    body: `answer ${number} ${'.'.repeat(number % 50 === 0 ? 200_000 : 0)}`,
  });
  const before = upstream.requests.length;
  const waiting: (() => void)[] = [];
  const arrived = Promise.withResolvers<void>();
  let isHeld = true;
  upstream.answer(({ body }, response) => {
    const { status, body: text } = wanted(Number(body.toString().slice('request '.length)));
    const answer = () => response.writeHead(status).end(text);
    if (!isHeld) return answer();
    waiting.push(answer);
    return waiting.length === 100 && arrived.resolve();
  });
  const answers = kept.map(async ({ connection, number }) => {
    const path = number % 2 === 0 ? '/plain' : '/signed';
    const sign = path === '/signed' ? { sign: { secret } } : {};
    const answer = await post(gateway, { path, body: `request ${number}`, on: connection, ...sign });
    return { number, answer, rest: await connection.closed() };
  });
  await arrived.promise;
  // What was sent before is read before: then all 200 are in flight.
  while (!(await metric(gateway, 'postern_requests_in_flight 200'))) await readiness(gateway);
  gateway.signal('SIGTERM');
  expect((await draining(gateway)).in_flight).toBe(200);
  isHeld = false;
  for (const answer of waiting) answer();
  for (const { number, answer, rest } of await Promise.all(answers)) {
    const { status, body } = wanted(number);
    expect([answer.status, answer.body.toString()]).toEqual([status, body]);
    expect([answer.header('connection'), rest]).toEqual(['close', '']);
    const record = await gateway.record(answer.id);
    expect([record.status, record.upstream_status]).toEqual([status, status]);
  }
  const seen = upstream.requests.slice(before).map(({ body }) => body.toString());
  expect(seen.sort()).toEqual(kept.map(({ number }) => `request ${number}`).sort());
  expect(await gateway.exited).toBe(0);
});

async function metric({ admin }: Gateway, line: string): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${admin?.port}/metrics`);
  return (await response.text()).split('\n').includes(line);
}

describe('drain_delay', () => {
  test('readiness fails first; connections, kept and new, are served meanwhile and told to go; then all is closed', async () => {
    const gateway = await start({ drain_delay: '3s' });
    const [kept, idle] = [await connect(gateway), await connect(gateway)];
    for (const on of [kept, idle]) {
      const answer = await post(gateway, { path: '/plain', on });
      await expectDelivered(gateway, answer);
      expect(answer.header('connection')).not.toBe('close');
    }
    expect(await readiness(gateway)).toBe(200);
    gateway.signal('SIGTERM');
    await draining(gateway);
    expect(await readiness(gateway)).toBe(503);
    for (const on of [await connect(gateway), kept]) {
      // What is sent behind the last request is the next connection's to carry.
      on.send(Buffer.concat([requestBytes({ path: '/plain' }), requestBytes({ path: '/plain' })]));
      const answer = await on.answer();
      await expectDelivered(gateway, answer);
      expect(answer.header('connection')).toBe('close');
      expect(await on.closed()).toBe('');
    }
    expect(idle.socket.readyState).toBe('open');
    expect(await idle.closed()).toBe('');
    await untilRefused(gateway.port);
    expect(await gateway.exited).toBe(0);
    expect(gateway.lines.filter(({ msg }) => msg === 'request')).toHaveLength(4);
  });
});

describe('what the end finds', () => {
  test('a connection that has carried nothing yet has a moment for its first request', async () => {
    const gateway = await start();
    const connection = await connect(gateway);
    gateway.signal('SIGTERM');
    await draining(gateway);
    connection.send(requestBytes({ path: '/plain', body: 'x' }));
    const answer = await connection.answer();
    await expectDelivered(gateway, answer);
    expect(answer.header('connection')).toBe('close');
    expect(await gateway.exited).toBe(0);
  });

  test('a request whose head comes after the signal, on a kept connection, is served or told to come again', async () => {
    const gateway = await start();
    const { arrived, release } = holdAnswers(upstream);
    const first = post(gateway, { path: '/plain', body: 'first' });
    const kept = await connect(gateway);
    kept.send('POST /plain HTTP/1.1\r\nHost: localhost\r\n');
    await arrived;
    gateway.signal('SIGTERM');
    await untilRefused(gateway.port);
    upstream.answer();
    kept.send('Content-Length: 1\r\n\r\nx');
    release();
    await expectDelivered(gateway, await first);
    const outcome = await kept.answer().catch((error: Error) => error);
    if (!(outcome instanceof Error)) {
      if (outcome.status === 200) await expectDelivered(gateway, outcome);
      else await expectProblem(gateway, outcome, 503, 'gateway.draining');
      expect(outcome.header('connection')).toBe('close');
    }
    expect(await gateway.exited).toBe(0);
  });
});

describe('drain_timeout', () => {
  test('requests whose upstream never answers are told to come again, and recorded', async () => {
    const gateway = await start({ drain_timeout: '2s' });
    upstream.answer(() => undefined);
    const before = upstream.heads();
    const answers = [{}, { sign: { secret } }].map((more) =>
      post(gateway, { path: 'sign' in more ? '/signed' : '/plain', body: '{"never":true}', ...more }),
    );
    while (upstream.heads() < before + 2) await readiness(gateway);
    gateway.signal('SIGTERM');
    for (const answer of await Promise.all(answers)) {
      const record = await expectProblem(gateway, answer, 503, 'gateway.draining');
      expect(record.outcome).toBe('failed');
      expect(answer.header('connection')).toBe('close');
      expect(answer.header('retry-after')).toMatch(/^\d+$/);
    }
    expect(await gateway.exited).toBe(0);
  });

  test('a request whose body never came to its end is recorded all the same', async () => {
    const gateway = await start({ drain_timeout: '500ms' });
    const connection = await connect(gateway);
    connection.send('POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf');
    await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x' }));
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toBe(0);
    const record = await gateway.record((line) => line.reason === 'body.incomplete');
    expect([record.path, record.status]).toEqual(['/plain', undefined]);
  });

  test('a connection that never began its handshake does not hold up the end', async () => {
    const gateway = await start({ drain_timeout: '700ms', handshake_timeout: '60s' });
    const silent = net.connect(gateway.port, '127.0.0.1');
    silent.on('error', () => undefined);
    const closed = once(silent, 'close');
    await once(silent, 'connect');
    await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x' }));
    gateway.signal('SIGTERM');
    await closed;
    expect(await gateway.exited).toBe(0);
  });
});

test.each(['SIGTERM', 'SIGINT'] as const)(
  'a second signal, %s, ends the process at once with 1',
  async (second) => {
    const gateway = await start({ drain_delay: '60s', drain_timeout: '120s' });
    const { arrived } = holdAnswers(upstream);
    const connection = await connect(gateway);
    connection.send(requestBytes({ path: '/plain', body: 'held for good' }));
    await arrived;
    gateway.signal('SIGTERM');
    await draining(gateway);
    gateway.signal(second);
    expect(await gateway.exited).toBe(1);
    expect(await connection.closed()).toBe('');
    expect(gateway.lines.at(-1)).toMatchObject({ msg: 'ended by a second signal', signal: second });
  },
);
