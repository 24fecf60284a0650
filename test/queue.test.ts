import { randomUUID } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { defaults } from './support/ca.ts';
import { expectDuplicate, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers } from './support/hold.ts';
import type { LogLine } from './support/log-line.ts';
import { metricOf } from './support/metrics.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post } from './support/sender.ts';
import { type Answer as How, headerOf, headersOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const body = '{"eventType":"queue.test","payload":{"n":2}}';
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

const route = (more: object = {}) => ({
  name: 'a',
  path: '/a',
  addresses: 'any',
  upstream: 'app',
  deliver: 'queue',
  signature: { scheme: 'standard-webhooks', secrets: [secret] },
  ...more,
});
const config = (...routes: object[]) => ({
  state: { driver: 'sqlite', path: 'postern.db' },
  upstreams: { app: { targets: [upstream.url], late: '0s', headers: { 'x-internal-key': 'k1' } } },
  routes: routes.length === 0 ? [route()] : routes,
});
const newId = (): string => `msg_${randomUUID()}`;
const send = (
  gateway: Gateway,
  id: string,
  path = '/a',
  headers: readonly (readonly [string, string])[] = [],
): Promise<Answer> => post(gateway, { path, body, headers, sign: { secret, id } });
const delivery =
  (id: string, attempt: number) =>
  (line: LogLine): boolean =>
    line.msg === 'delivery' && line.message_id === id && line.attempt === attempt;
const answering =
  (...statuses: readonly number[]): How =>
  (_request, response) => {
    const status = statuses[Math.min(count, statuses.length - 1)] as number;
    count += 1;
    response.writeHead(status).end(`answer ${count}`);
  };
let count = 0;
afterEach(() => {
  count = 0;
});

describe('an event of a route with deliver: queue', () => {
  test('is acknowledged with 202 before its upstream answers, and delivered with all that a forwarded one has', async () => {
    const gateway = await startGateway(config());
    const held = holdAnswers(upstream);
    const id = newId();
    const answer = await send(gateway, id, '/a?x=1', [
      ['x-own', 'yes'],
      ['x-postern-attempt', '9'],
    ]);
    expect(answer.status).toBe(202);
    expect(answer.body.toString()).toBe('');
    const record = await gateway.record(answer.header('x-request-id') as string);
    expect(record).toMatchObject({
      outcome: 'queued',
      status: 202,
      message_id: id,
    });
    await held.arrived;
    held.release();
    const line = await gateway.line(delivery(id, 1));
    expect(line).toMatchObject({ outcome: 'delivered', upstream_status: 200, route: 'a', id: record.id });
    const seen = await upstream.request((one) => headerOf(one, 'webhook-id') === id);
    expect(seen.method).toBe('POST');
    expect(seen.target).toBe('/a?x=1');
    expect(seen.body.toString()).toBe(body);
    expect(headersOf(seen, 'x-postern-attempt')).toEqual(['1']);
    expect(headerOf(seen, 'x-own')).toBe('yes');
    expect(headerOf(seen, 'x-internal-key')).toBe('k1');
    expect(headerOf(seen, 'x-postern-route')).toBe('a');
    expect(headerOf(seen, 'x-request-id')).toBe(record.id);
    expect(headerOf(seen, 'x-forwarded-for')).toBe('127.0.0.1');
    expect(await metricOf(gateway, 'postern_deliveries_total', { route: 'a', outcome: 'delivered' })).toBe(1);
    expect(await gateway.stop()).toBe(0);
  });

  test('is not delivered again for its copies, which are acknowledged with 200', async () => {
    const gateway = await startGateway(config());
    const id = newId();
    expect((await send(gateway, id)).status).toBe(202);
    await expectDuplicate(gateway, await send(gateway, id));
    await gateway.line(delivery(id, 1));
    await expectDuplicate(gateway, await send(gateway, id));
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await gateway.stop()).toBe(0);
    const second = await startGateway(config(), { folder: gateway.folder });
    await expectDuplicate(second, await send(second, id));
    expect(await second.stop()).toBe(0);
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('is refused like any other where its signature does not hold, and is not kept', async () => {
    const gateway = await startGateway(config());
    const forged = { path: '/a', body, sign: { secret: newSecret(), id: newId() } };
    await expectRefused(gateway, upstream, () => post(gateway, forged), 401, 'signature.mismatch');
    expect(await metricOf(gateway, 'postern_queue_events', { route: 'a', state: 'waiting' })).not.toBe(1);
    expect(await gateway.stop()).toBe(0);
  });

  test('of the svix family is named to its upstream by webhook-id as well', async () => {
    const gateway = await startGateway(config(route({ sender: 'svix' })));
    const id = newId();
    const sign = { secret, id, family: 'svix' as const };
    expect((await post(gateway, { path: '/a', body, sign })).status).toBe(202);
    await gateway.line(delivery(id, 1));
    const seen = await upstream.request((one) => headerOf(one, 'svix-id') === id);
    expect(headersOf(seen, 'webhook-id')).toEqual([id]);
    expect(await gateway.stop()).toBe(0);
  });

  test('without a signature is named to its upstream by an id of our own', async () => {
    const gateway = await startGateway(config(route({ signature: undefined })));
    const answer = await post(gateway, { path: '/a', body });
    expect(answer.status).toBe(202);
    const id = answer.header('x-request-id') as string;
    await gateway.line((line) => line.msg === 'delivery' && line.id === id);
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await gateway.stop()).toBe(0);
  });
});

describe('a delivery that fails', () => {
  const quick = (more: object = {}) =>
    config(route({ retry: { attempts: 3, schedule: ['50ms'], ...more }, upstream_path: '/in' }));

  test.each([500, 503, 404, 401, 409, 302])(
    'with %i is tried again and then delivered, the same bytes with the next attempt’s number',
    async (status) => {
      const gateway = await startGateway(quick());
      upstream.answer(answering(status, 200));
      const id = newId();
      expect((await send(gateway, id)).status).toBe(202);
      expect(await gateway.line(delivery(id, 1))).toMatchObject({
        outcome: 'waiting',
        upstream_status: status,
        due: expect.any(String),
      });
      expect(await gateway.line(delivery(id, 2))).toMatchObject({ outcome: 'delivered' });
      const seen = upstream.requests.filter((one) => headerOf(one, 'webhook-id') === id);
      expect(seen.map((one) => headerOf(one, 'x-postern-attempt'))).toEqual(['1', '2']);
      expect(seen.map((one) => one.target)).toEqual(['/in', '/in']);
      expect(seen[1]?.body.equals(seen[0]?.body as Buffer)).toBe(true);
      expect(await gateway.stop()).toBe(0);
    },
  );

  test.each([400, 410, 422])('with %i is a dead letter at once', async (status) => {
    const gateway = await startGateway(quick());
    upstream.answer(answering(status));
    const id = newId();
    expect((await send(gateway, id)).status).toBe(202);
    expect(await gateway.line(delivery(id, 1))).toMatchObject({
      level: 'warn',
      outcome: 'dead',
      upstream_status: status,
    });
    expect(await metricOf(gateway, 'postern_queue_events', { route: 'a', state: 'dead' })).toBe(1);
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await gateway.stop()).toBe(0);
  });

  test('as often as the schedule allows is a dead letter', async () => {
    const gateway = await startGateway(quick());
    upstream.answer(answering(500));
    const id = newId();
    await send(gateway, id);
    expect(await gateway.line(delivery(id, 3))).toMatchObject({ outcome: 'dead', upstream_status: 500 });
    expect(deliveriesOf(upstream, id)).toBe(3);
    expect(await gateway.stop()).toBe(0);
  });

  test('for a status of retry.give_up is a dead letter, and 400 is not where it is not listed', async () => {
    const gateway = await startGateway(quick({ give_up: [418] }));
    upstream.answer(answering(400, 418));
    const id = newId();
    await send(gateway, id);
    expect(await gateway.line(delivery(id, 1))).toMatchObject({ outcome: 'waiting', upstream_status: 400 });
    expect(await gateway.line(delivery(id, 2))).toMatchObject({ outcome: 'dead', upstream_status: 418 });
    expect(await gateway.stop()).toBe(0);
  });

  test('because the upstream is not there is tried again', async () => {
    const gone = await startUpstream();
    await gone.close();
    const gateway = await startGateway({
      ...config(route({ retry: { attempts: 2, schedule: ['50ms'] } })),
      upstreams: { app: gone.url },
    });
    const id = newId();
    await send(gateway, id);
    expect(await gateway.line(delivery(id, 1))).toMatchObject({
      outcome: 'waiting',
      reason: 'upstream.unreachable',
    });
    expect(await gateway.line(delivery(id, 2))).toMatchObject({ outcome: 'dead' });
    expect(await gateway.stop()).toBe(0);
  });

  test('because the upstream takes longer than its timeout and late together is given up and tried again', async () => {
    const gateway = await startGateway({
      ...config(route({ retry: { attempts: 2, schedule: ['50ms'] } })),
      upstreams: { app: { targets: [upstream.url], timeout: '100ms', late: '100ms' } },
    });
    const held = holdAnswers(upstream);
    const id = newId();
    await send(gateway, id);
    await held.arrived;
    const first = await gateway.line(delivery(id, 1));
    expect(first).toMatchObject({ outcome: 'waiting', reason: 'upstream.timeout' });
    expect((first.ms as { upstream: number }).upstream).toBeGreaterThanOrEqual(199);
    upstream.answer();
    held.release();
    await gateway.line((line) => line.msg === 'delivery' && line.message_id === id && line.attempt === 2);
    expect(await gateway.stop()).toBe(0);
  });

  test('is not tried sooner than the upstream’s Retry-After asks', async () => {
    const gateway = await startGateway(quick());
    let firstMs = 0;
    upstream.answer((_request, response) => {
      firstMs ||= Date.now();
      response.writeHead(503, { 'retry-after': '2' }).end();
    });
    const id = newId();
    await send(gateway, id);
    const line = await gateway.line(delivery(id, 1));
    expect(Date.parse(line.due as string) - firstMs).toBeGreaterThanOrEqual(2000);
    await gateway.line(delivery(id, 2));
    expect(await gateway.stop()).toBe(0);
  });

  test('does not delay another route, however long its backlog is', async () => {
    const stuck = await startUpstream({ answer: () => undefined });
    const gateway = await startGateway({
      ...config(
        route({ upstream: 'stuck', concurrency: 2 }),
        route({ name: 'b', path: '/b', upstream: 'app' }),
      ),
      upstreams: { app: upstream.url, stuck: { targets: [stuck.url], timeout: '20s', late: '0s' } },
      limits: { drain_timeout: '1s' },
    });
    for (let sent = 0; sent < 50; sent += 1) expect((await send(gateway, newId())).status).toBe(202);
    const id = newId();
    expect((await send(gateway, id, '/b')).status).toBe(202);
    expect(await gateway.line(delivery(id, 1))).toMatchObject({ outcome: 'delivered', route: 'b' });
    expect(stuck.heads()).toBe(2);
    expect(await metricOf(gateway, 'postern_queue_events', { route: 'a', state: 'delivering' })).toBe(2);
    expect(await metricOf(gateway, 'postern_queue_events', { route: 'a', state: 'waiting' })).toBe(48);
    expect(await gateway.stop()).toBe(0);
  });
});

const KEYS = ['red', 'blue', 'green'];
const COUNT = 6;
describe('what is in the queue', () => {
  test('is delivered by the next start, whose configuration counts', async () => {
    const stuck = await startUpstream({ answer: () => undefined });
    const first = await startGateway({ ...config(), upstreams: { app: stuck.url } });
    const ids = Array.from({ length: 20 }, newId);
    for (const id of ids) expect((await send(first, id)).status).toBe(202);
    await first.kill9();
    const changed = { ...config(route({ upstream_path: '/new', deliver: 'forward' })) };
    const second = await startGateway(changed, { folder: first.folder });
    for (const id of ids) await second.line((line) => line.msg === 'delivery' && line.message_id === id);
    for (const id of ids) {
      expect(deliveriesOf(upstream, id)).toBe(1);
      const seen = await upstream.request((one) => headerOf(one, 'webhook-id') === id);
      expect(seen.target).toBe('/new');
      expect(headersOf(seen, 'x-internal-key')).toEqual(['k1']);
    }
    expect(await second.stop()).toBe(0);
  });

  test('of a route that is not configured any more is kept and warned of', async () => {
    const stuck = await startUpstream({ answer: () => undefined });
    const first = await startGateway({ ...config(), upstreams: { app: stuck.url } });
    expect((await send(first, newId())).status).toBe(202);
    await first.kill9();
    const second = await startGateway(config(route({ name: 'other' })), { folder: first.folder });
    const line = await second.line((one) => one.msg === 'events of an unknown route wait');
    expect(line).toMatchObject({ level: 'warn', route: 'a', events: 1 });
    expect(await second.stop()).toBe(0);
  });

  const orders: [string, (gateway: Gateway, key: string) => Promise<Parameters<typeof post>[1]>][] = [
    ['header:x-key', async (_gateway, key) => ({ headers: [['x-key', key]] })],
    [
      'certificate',
      async (gateway, key) => {
        const identity = await (await defaults()).authority.issue({ commonName: key });
        return { on: await connect(gateway, { identity }) };
      },
    ],
    [
      'company',
      async (_gateway, key) => ({ body: JSON.stringify({ payload: { referenceCompany: { id: key } } }) }),
    ],
  ];
  test.each(orders)(
    'is delivered one after the other, in order, where the route says ordered: %s',
    async (ordered, by) => {
      const retry = { attempts: 100, schedule: ['50ms'] };
      const gateway = await startGateway(config(route({ ordered, retry, sender: 'codat' })));
      const sent = new Map<string, string[]>(KEYS.map((key) => [key, []]));
      const taken: string[] = [];
      const left = new Set<string>();
      upstream.answer((request, response) => {
        const id = headerOf(request, 'webhook-id') as string;
        // The first of two keys fails until all of the third have been taken: what came after it would overtake it,
        // and the third key must not wait for it.
        const isFirst = [sent.get('red')?.[0], sent.get('blue')?.[0]].includes(id);
        const fails = isFirst && (left.size > 0 || taken.length < COUNT);
        left.delete(id);
        if (!fails) taken.push(id);
        response.writeHead(fails ? 503 : 200).end();
      });
      const how = new Map(await Promise.all(KEYS.map(async (key) => [key, await by(gateway, key)] as const)));
      for (let place = 0; place < COUNT; place += 1) {
        for (const key of KEYS) {
          const id = newId();
          sent.get(key)?.push(id);
          if (key === 'green') left.add(id);
          const answer = await post(gateway, { path: '/a', body, sign: { secret, id }, ...how.get(key) });
          expect(answer.status).toBe(202);
        }
      }
      for (const id of [...sent.values()].flat())
        await gateway.line((line) => line.message_id === id && line.outcome === 'delivered');
      for (const ids of sent.values()) expect(taken.filter((id) => ids.includes(id))).toEqual(ids);
      expect(taken.slice(0, COUNT)).toEqual(sent.get('green'));
      expect(await gateway.stop()).toBe(0);
    },
  );

  test('is delivered no faster than deliver_rate', async () => {
    const gateway = await startGateway(config(route({ deliver_rate: '5/s' })));
    const arrivals: number[] = [];
    upstream.answer((_request, response) => {
      arrivals.push(performance.now());
      response.end();
    });
    const ids = Array.from({ length: 12 }, newId);
    await Promise.all(ids.map((id) => send(gateway, id)));
    for (const id of ids) await gateway.line(delivery(id, 1));
    // Five at once, and one each 200 ms after that: the last of twelve not before 1.4 s have passed.
    expect((arrivals.at(-1) as number) - (arrivals[0] as number)).toBeGreaterThan(1300);
    expect(await gateway.stop()).toBe(0);
  });
});

describe('a stop', () => {
  test('lets deliveries under way end, begins no more, and leaves the rest to the next start', async () => {
    const gateway = await startGateway(config(route({ concurrency: 1 })));
    const held = holdAnswers(upstream);
    const ids = [newId(), newId()];
    for (const id of ids) await send(gateway, id);
    await held.arrived;
    gateway.signal('SIGTERM');
    await gateway.line((line) => line.msg === 'draining');
    held.release();
    expect(await gateway.exited).toBe(0);
    upstream.answer();
    const second = await startGateway(config(), { folder: gateway.folder });
    await second.line(delivery(ids[1] as string, 1));
    expect(ids.map((id) => deliveriesOf(upstream, id))).toEqual([1, 1]);
    expect(await second.stop()).toBe(0);
  });

  test('cuts off a delivery that outlasts drain_timeout, and it is made again', async () => {
    const configuration = { ...config(), limits: { drain_timeout: '500ms' } };
    const gateway = await startGateway(configuration);
    const held = holdAnswers(upstream);
    const id = newId();
    await send(gateway, id);
    await held.arrived;
    expect(await gateway.stop()).toBe(0);
    expect(await gateway.line(delivery(id, 1))).toMatchObject({
      outcome: 'waiting',
      reason: 'gateway.draining',
    });
    upstream.answer();
    const second = await startGateway(configuration, { folder: gateway.folder });
    expect(await second.line(delivery(id, 2))).toMatchObject({ outcome: 'delivered' });
    expect(await second.stop()).toBe(0);
  });
});
