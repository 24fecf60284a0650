import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from './support/command.ts';
import { expectDelivered, expectDuplicate, expectProblem } from './support/expect.ts';
import { type Gateway, type StartOptions, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers, settled } from './support/hold.ts';
import type { LogLine, RequestLine } from './support/log-line.ts';
import { metric, untilMetric } from './support/metrics.ts';
import { QUICK_SENDER } from './support/quick-sender.ts';
import { readiness } from './support/readiness.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { configText, reload } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post, requestBytes } from './support/sender.ts';
import { eventually } from './support/stores.ts';
import { headerOf, headersOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const body = '{"eventType":"late.test","payload":{"n":3}}';
const LATE = 'the upstream was late';
const DELIVERING = 'postern_queue_events{route="a",state="delivering"}';
const DELIVERED = 'postern_deliveries_total{route="a",outcome="delivered"}';
const SCRIPT = `function handler(webhook) {
  webhook.payload = { was: webhook.payload.eventType, length: Object.keys(webhook.payload).length };
  return webhook;
}`;

let upstream: Upstream;
/** With a route for each kind of test that needs none of its own. */
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const gone = await startUpstream();
  await gone.close();
  const settings = config(
    {},
    route(),
    route({ name: 'brief', path: '/brief', upstream: 'brief' }),
    route({ name: 'quick', path: '/quick', upstream: 'patient', sender: 'quick' }),
    route({ name: 'narrow', path: '/narrow', upstream: 'narrow' }),
    route({ name: 'gone', path: '/gone', upstream: 'gone' }),
    route({ name: 'left', path: '/left', upstream: 'second' }),
    route({ name: 'unsigned', path: '/unsigned', upstream: 'second', signature: undefined }),
    route({ name: 'one', path: '/one', concurrency: 1 }),
    route({ name: 'script', path: '/script', transform: 'script.js' }),
  );
  gateway = await start(
    { ...settings, upstreams: { ...settings.upstreams, gone: gone.url } },
    { files: { 'senders/quick.yaml': QUICK_SENDER, 'script.js': SCRIPT } },
  );
});
afterEach(() => upstream.answer());

const route = (more: object = {}) => ({
  name: 'a',
  path: '/a',
  addresses: 'any',
  upstream: 'slow',
  late: 'queue',
  retry: { attempts: 3, schedule: ['50ms'] },
  signature: { scheme: 'standard-webhooks', secrets: [secret] },
  ...more,
});
const config = (more: object = {}, ...routes: object[]) => ({
  state: { driver: 'sqlite', path: 'postern.db' },
  upstreams: {
    slow: { targets: [upstream.url], timeout: '400ms', late: '20s' },
    second: { targets: [upstream.url], timeout: '1s', late: '20s' },
    brief: { targets: [upstream.url], timeout: '400ms', late: '300ms' },
    patient: { targets: [upstream.url], timeout: '20s' },
    narrow: { targets: [upstream.url], timeout: '400ms', connections: 1 },
  },
  routes: routes.length === 0 ? [route()] : routes,
  ...more,
});
const start = async (settings: object = config(), options: StartOptions = {}): Promise<Gateway> => {
  const files = { 'senders/quick.yaml': QUICK_SENDER };
  const started = await startGateway(settings as Parameters<typeof startGateway>[0], { files, ...options });
  // With a connection to the upstream there, nothing is late for want of one.
  await send(started, newId());
  return started;
};
const preloaded = (name: string): StartOptions => ({
  preload: fileURLToPath(new URL(`./support/${name}`, import.meta.url)),
});
const newId = (): string => `msg_${randomUUID()}`;
const send = (gateway: Gateway, id: string, path = '/a'): Promise<Answer> =>
  post(gateway, { path, body, sign: { secret, id } });
const reached = (id: string) => upstream.request((one) => headerOf(one, 'webhook-id') === id);
const delivery = (gateway: Gateway, id: string, attempt = 1): Promise<LogLine> =>
  gateway.line((line) => line.msg === 'delivery' && line.message_id === id && line.attempt === attempt);

/** Asserts that the sender was answered from the disk. */
async function expectQueued(gateway: Gateway, answer: Answer, detail = LATE): Promise<RequestLine> {
  const record = await gateway.record(answer.id);
  const { status, outcome } = record;
  expect({
    got: answer.status,
    body: answer.body.toString(),
    status,
    outcome,
    detail: record.detail,
  }).toEqual({
    got: 202,
    body: '',
    status: 202,
    outcome: 'queued',
    detail,
  });
  return record;
}

/** An event whose sender has its 202, and whose exchange is still under way. */
async function sendLate(gateway: Gateway, path = '/a') {
  const id = newId();
  const { release } = holdAnswers(upstream);
  const record = await expectQueued(gateway, await send(gateway, id, path));
  return { id, release, record };
}

describe('an upstream that answers after the deadline of its sender', () => {
  test('with 200 has it delivered once: the sender got 202 before, and copies are duplicates at any time', async () => {
    const before = await metric(gateway, DELIVERED);
    const id = newId();
    const { release } = holdAnswers(upstream);
    const first = send(gateway, id);
    await reached(id);
    const early = send(gateway, id);
    const record = await expectQueued(gateway, await first);
    expect(record).toMatchObject({ upstream: upstream.url, message_id: id });
    const waited = await early;
    expect(waited.status).toBe(202);
    expect((await gateway.record(waited.id)).outcome).toBe('duplicate');
    await expectDuplicate(gateway, await send(gateway, id));
    expect(await metric(gateway, DELIVERING)).toBe(1);
    release();
    const { ms, ...line } = await delivery(gateway, id);
    expect(line).toMatchObject({ id: record.id, outcome: 'delivered', upstream_status: 200, route: 'a' });
    // From its beginning, and not from when it was late.
    expect((ms as { upstream: number }).upstream).toBeGreaterThanOrEqual(399);
    await expectDuplicate(gateway, await send(gateway, id));
    expect(await metric(gateway, DELIVERING)).toBe(0);
    expect(await metric(gateway, DELIVERED)).toBe(before + 1);
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('with 503 has it delivered again by the schedule, the same bytes, and says that it is the second attempt', async () => {
    const { id, release } = await sendLate(gateway);
    upstream.answer();
    release(503);
    expect(await delivery(gateway, id)).toMatchObject({ outcome: 'waiting', upstream_status: 503 });
    expect(await delivery(gateway, id, 2)).toMatchObject({ outcome: 'delivered', upstream_status: 200 });
    const seen = upstream.requests.filter((one) => headerOf(one, 'webhook-id') === id);
    expect(seen.map((one) => headersOf(one, 'x-postern-attempt'))).toEqual([[], ['2']]);
    expect(seen.map((one) => one.body.toString())).toEqual([body, body]);
    expect(new Set(seen.map((one) => headerOf(one, 'webhook-signature'))).size).toBe(1);
    await expectDuplicate(gateway, await send(gateway, id));
  });

  test('with a status of give_up makes it a dead letter', async () => {
    const { id, release } = await sendLate(gateway);
    release(400);
    expect(await delivery(gateway, id)).toMatchObject({
      level: 'warn',
      outcome: 'dead',
      upstream_status: 400,
    });
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('by resetting the connection has it delivered again', async () => {
    const id = newId();
    const cut = Promise.withResolvers<() => void>();
    upstream.answer((_request, response) => cut.resolve(() => response.socket?.resetAndDestroy()));
    await expectQueued(gateway, await send(gateway, id));
    upstream.answer();
    (await cut.promise)();
    expect(await delivery(gateway, id)).toMatchObject({ outcome: 'waiting', reason: 'upstream.reset' });
    expect(await delivery(gateway, id, 2)).toMatchObject({ outcome: 'delivered' });
  });

  test('with an answer too large to be held has it delivered, and its connection serves the next', async () => {
    const id = newId();
    const late = Promise.withResolvers<() => void>();
    upstream.answer((_request, response) => late.resolve(() => response.end(Buffer.alloc(1 << 20, 'x'))));
    await expectQueued(gateway, await send(gateway, id, '/narrow'));
    upstream.answer();
    (await late.promise)();
    expect(await delivery(gateway, id)).toMatchObject({ outcome: 'delivered', upstream_status: 200 });
    await expectDelivered(gateway, await send(gateway, newId(), '/narrow'));
  });

  test('never has it delivered again when `late` has passed, and not before', async () => {
    const id = newId();
    const ended = Promise.withResolvers<number>();
    upstream.answer((_request, response) =>
      response.once('close', () => ended.resolve(deliveriesOf(upstream, id))),
    );
    await expectQueued(gateway, await send(gateway, id, '/brief'));
    expect(await ended.promise).toBe(1);
    upstream.answer();
    expect(await delivery(gateway, id)).toMatchObject({ outcome: 'waiting', reason: 'upstream.timeout' });
    expect(await delivery(gateway, id, 2)).toMatchObject({ outcome: 'delivered' });
  });

  test('is late when the deadline nears, however long its own timeout is, and the operator sees its answer', async () => {
    const { id, release } = await sendLate(gateway, '/quick');
    upstream.answer();
    release(503);
    expect(await delivery(gateway, id, 2)).toMatchObject({ outcome: 'delivered' });
    const words = ['events', 'show', id, '--json', '--config', join(gateway.folder, 'postern.yaml')];
    const { events } = JSON.parse((await runCommand(words)).stdout);
    const log = [
      { attempt: 1, upstream_status: 503, answer: { text: 'held' }, upstream: upstream.url },
      { attempt: 2, upstream_status: 200, answer: { text: 'accepted' }, upstream: upstream.url },
    ];
    expect(events).toMatchObject([{ state: 'delivered', attempts: 2, log }]);
  });
});

describe('what is not late is the sender’s, as on any route', () => {
  test('an answer in time, whatever it is, and an upstream that cannot be reached', async () => {
    await expectDelivered(gateway, await send(gateway, newId()));
    upstream.answer((_request, response) => response.writeHead(503).end('not now'));
    const id = newId();
    const answer = await send(gateway, id);
    expect([answer.status, answer.body.toString()]).toEqual([503, 'not now']);
    expect(await gateway.record(answer.id)).toMatchObject({ outcome: 'failed', reason: 'upstream.failed' });
    upstream.answer();
    await expectDelivered(gateway, await send(gateway, id));
    await expectProblem(gateway, await send(gateway, newId(), '/gone'), 502, 'upstream.unreachable');
    expect(await metric(gateway, 'postern_queue_events{route="a",state="waiting"}')).toBe(0);
  });

  test.each([
    [200, '/a'],
    [503, '/a'],
    [200, '/unsigned'],
  ])(
    'a status %i in time whose body is late: it is answered, without the body (%s)',
    async (status, path) => {
      upstream.answer((_request, response) => response.writeHead(status).write('the beginning'));
      const id = newId();
      const answer = await send(gateway, id, path);
      expect([answer.status, answer.body.toString()]).toEqual([status, '']);
      expect(await gateway.record(answer.id)).toMatchObject({
        outcome: status === 200 ? 'delivered' : 'failed',
        upstream_status: status,
      });
      upstream.answer();
      const copy = await send(gateway, id, path);
      if (status === 200 && path === '/a') await expectDuplicate(gateway, copy);
      else await expectDelivered(gateway, copy);
    },
  );
});

describe('the sender', () => {
  test('need not sign: the exchange runs on, and the next delivery is named by our own id', async () => {
    const { release } = holdAnswers(upstream);
    const { id } = await expectQueued(gateway, await post(gateway, { path: '/unsigned', body }));
    upstream.answer();
    release(500);
    const first = await gateway.line((line) => line.msg === 'delivery' && line.id === id);
    expect(first).toMatchObject({ outcome: 'waiting', attempt: 1, upstream_status: 500 });
    const second = await upstream.request((one) => headerOf(one, 'webhook-id') === id);
    expect(headersOf(second, 'x-postern-attempt')).toEqual(['2']);
    expect(headersOf(second, 'x-request-id')).toEqual([id]);
    expect(upstream.requests.filter((one) => headerOf(one, 'x-request-id') === id)).toHaveLength(2);
  });

  test.each(['/left', '/unsigned'])('may have left: its event is stored all the same (%s)', async (path) => {
    const since = gateway.lines.length;
    const { arrived, release } = holdAnswers(upstream);
    const connection = await connect(gateway);
    const sign = path === '/left' ? { sign: { secret, id: newId() } } : {};
    connection.send(requestBytes({ path, body, ...sign }));
    await arrived;
    connection.close();
    await settled(gateway);
    const record = await gateway.record((one) => one.path === path, since);
    expect(record).toMatchObject({ outcome: 'queued', detail: LATE });
    expect(record.status).toBeUndefined();
    release();
    const line = await gateway.line(({ msg, id }) => msg === 'delivery' && id === record.id);
    expect(line).toMatchObject({ outcome: 'delivered', attempt: 1 });
  });
});

test('what waits for a connection when its time is up waits in the queue, and was no attempt', async () => {
  const first = await sendLate(gateway, '/narrow');
  const id = newId();
  const record = await expectQueued(
    gateway,
    await send(gateway, id, '/narrow'),
    'no connection to the upstream was free in time',
  );
  expect(record.upstream).toBeUndefined();
  expect(deliveriesOf(upstream, id)).toBe(0);
  upstream.answer();
  first.release();
  expect(await delivery(gateway, first.id)).toMatchObject({ outcome: 'delivered' });
  expect(await delivery(gateway, id)).toMatchObject({ outcome: 'delivered', id: record.id });
  await expectDuplicate(gateway, await send(gateway, id, '/narrow'));
  expect(deliveriesOf(upstream, id)).toBe(1);
});

test('exchanges that run on do not keep the queue from what waits in it', async () => {
  const failing = await sendLate(gateway, '/one');
  const running = await sendLate(gateway, '/one');
  upstream.answer();
  failing.release(503);
  expect(await delivery(gateway, failing.id, 2)).toMatchObject({ outcome: 'delivered' });
  expect(await metric(gateway, DELIVERING.replace('"a"', '"one"'))).toBe(1);
  running.release();
  expect(await delivery(gateway, running.id)).toMatchObject({ outcome: 'delivered' });
});

test('a transformation is made of the original again', async () => {
  const { id, release } = await sendLate(gateway, '/script');
  upstream.answer();
  release(503);
  expect(await delivery(gateway, id, 2)).toMatchObject({ outcome: 'delivered' });
  const seen = upstream.requests.filter((one) => headerOf(one, 'webhook-id') === id);
  expect(seen.map((one) => JSON.parse(one.body.toString()))).toEqual([
    { was: 'late.test', length: 2 },
    { was: 'late.test', length: 2 },
  ]);
});

describe('the end of the process', () => {
  test('by kill -9 while the exchange runs loses nothing: it is delivered by the next start', async () => {
    const first = await start();
    const { id } = await sendLate(first);
    await first.kill9();
    upstream.answer();
    const second = await start(config(), { folder: first.folder });
    expect(await delivery(second, id, 2)).toMatchObject({ outcome: 'delivered' });
    await expectDuplicate(second, await send(second, id));
    expect(deliveriesOf(upstream, id)).toBe(2);
    const again = upstream.requests.filter((one) => headerOf(one, 'webhook-id') === id)[1];
    expect(again && headersOf(again, 'x-postern-attempt')).toEqual(['2']);
    expect(await second.stop()).toBe(0);
  });

  test('by SIGTERM waits for the exchange', async () => {
    const gateway = await start();
    const { id, release } = await sendLate(gateway);
    gateway.signal('SIGTERM');
    await gateway.line(({ msg }) => msg === 'draining');
    release();
    expect(await delivery(gateway, id)).toMatchObject({ outcome: 'delivered' });
    expect(await gateway.exited).toBe(0);
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('by SIGTERM gives it up when the time to drain is over, and it is due at once', async () => {
    const first = await start(config({ limits: { drain_timeout: '1s' } }));
    const { id } = await sendLate(first);
    expect(await first.stop()).toBe(0);
    expect(await delivery(first, id)).toMatchObject({ outcome: 'waiting', reason: 'gateway.draining' });
    upstream.answer();
    const second = await start(config(), { folder: first.folder });
    expect(await delivery(second, id, 2)).toMatchObject({ outcome: 'delivered' });
    expect(await second.stop()).toBe(0);
  });

  test('of its route, by a reload, changes nothing for it: it ends as it began', async () => {
    const gateway = await start();
    const { id, release } = await sendLate(gateway);
    const other = config({}, route({ name: 'other', path: '/other', late: 'timeout', retry: undefined }));
    await reload(gateway, { 'postern.yaml': configText(other) });
    release(400);
    expect(await delivery(gateway, id)).toMatchObject({ route: 'a', outcome: 'dead', upstream_status: 400 });
    expect(await gateway.stop()).toBe(0);
  });
});

describe('where the event cannot be stored', () => {
  test('the sender gets its 504, the exchange runs on, and a late 200 keeps the claim', async () => {
    const gateway = await start(config({}, route({ upstream: 'narrow' })), preloaded('failing-sync.mjs'));
    gateway.signal('SIGUSR2');
    const id = newId();
    const late = Promise.withResolvers<() => void>();
    upstream.answer((_request, response) => late.resolve(() => response.end(Buffer.alloc(1 << 20, 'x'))));
    const record = await expectProblem(gateway, await send(gateway, id), 504, 'upstream.timeout');
    expect(record.detail).toContain(`${LATE}, and the event is not stored: `);
    expect(record.detail).toContain('EIO');
    gateway.signal('SIGUSR2');
    await eventually(async () => (await readiness(gateway)) === 200 || undefined, 'the recovery');
    // Nothing is delivered beside the exchange: a copy waits for its end.
    const copy = send(gateway, id);
    await settled(gateway);
    expect(deliveriesOf(upstream, id)).toBe(1);
    upstream.answer();
    (await late.promise)();
    await gateway.line(({ msg, message_id }) => msg === 'late answer' && message_id === id);
    await copy;
    await expectDuplicate(gateway, await send(gateway, id));
    // Its answer, which nobody reads, does not hold the only connection.
    await expectDelivered(gateway, await send(gateway, newId()));
    expect(await metric(gateway, DELIVERING)).toBe(0);
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await gateway.stop()).toBe(0);
  });

  test('in time, the sender gets its 504, and it is delivered once all the same', async () => {
    const gateway = await start(config({}, route({ sender: 'quick' })), preloaded('held-sync.mjs'));
    gateway.signal('SIGUSR2');
    await gateway.line(({ msg }) => msg === 'syncs wait from now on');
    const id = newId();
    const { release } = holdAnswers(upstream);
    const record = await expectProblem(gateway, await send(gateway, id), 504, 'upstream.timeout');
    expect(record.detail).toContain('the state did not answer');
    gateway.signal('SIGUSR2');
    release();
    expect(await delivery(gateway, id)).toMatchObject({ id: record.id, outcome: 'delivered' });
    await expectDuplicate(gateway, await send(gateway, id));
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await gateway.stop()).toBe(0);
  });
});

test.each([200, 503])(
  'an answer %i that comes while the event is being stored is that of its first delivery',
  async (status) => {
    const gateway = await start(config(), preloaded('held-sync.mjs'));
    gateway.signal('SIGUSR2');
    await gateway.line(({ msg }) => msg === 'syncs wait from now on');
    const id = newId();
    const { release } = holdAnswers(upstream);
    const answering = send(gateway, id);
    await gateway.line(({ msg }) => msg === 'a sync waits');
    upstream.answer();
    release(status);
    await settled(gateway);
    // Nothing may be delivered beside it, and a copy hears no more than its sender does.
    const copy = send(gateway, id);
    await settled(gateway);
    gateway.signal('SIGUSR2');
    await expectQueued(gateway, await answering);
    expect((await copy).status).toBe(202);
    const outcome = status === 200 ? 'delivered' : 'waiting';
    expect(await delivery(gateway, id)).toMatchObject({ outcome, upstream_status: status });
    if (status !== 200) expect(await delivery(gateway, id, 2)).toMatchObject({ outcome: 'delivered' });
    await expectDuplicate(gateway, await send(gateway, id));
    expect(deliveriesOf(upstream, id)).toBe(status === 200 ? 1 : 2);
    expect(await gateway.stop()).toBe(0);
  },
);

describe.skipIf(!hasRedis())('on Redis', () => {
  test('it is delivered once, and known at every gateway; where Redis is away the sender gets its 504', async () => {
    const redis = await startRedis();
    const settings = config({ state: { driver: 'redis', url: redis.url } });
    const [gateway, other] = await Promise.all([start(settings), start(settings)]);
    const { id, release } = await sendLate(gateway);
    await expectDuplicate(other, await send(other, id));
    expect(await metric(other, DELIVERING)).toBe(1);
    upstream.answer();
    release(503);
    expect(await delivery(gateway, id)).toMatchObject({ outcome: 'waiting', upstream_status: 503 });
    await upstream.request(
      (one) => headerOf(one, 'webhook-id') === id && headersOf(one, 'x-postern-attempt')[0] === '2',
    );
    expect(deliveriesOf(upstream, id)).toBe(2);

    const lost = newId();
    const held = holdAnswers(upstream);
    const answering = send(gateway, lost);
    await reached(lost);
    redis.signal('SIGSTOP');
    await expectProblem(gateway, await answering, 504, 'upstream.timeout');
    redis.signal('SIGCONT');
    for (const one of [gateway, other])
      await eventually(async () => (await readiness(one)) === 200 || undefined, 'the recovery');
    held.release();
    await gateway.line(({ msg, message_id }) => msg === 'late answer' && message_id === lost);
    await expectDuplicate(other, await send(other, lost));
    // What was stored without an answer is taken back: nothing is delivered beside what was told to the sender.
    await untilMetric(gateway, 'postern_queue_events{route="a",state="waiting"}', (left) => left === 0);
    expect(await metric(gateway, DELIVERING)).toBe(0);
    expect(deliveriesOf(upstream, lost)).toBe(1);
    expect(await gateway.stop()).toBe(0);
    expect(await other.stop()).toBe(0);
  });
});
