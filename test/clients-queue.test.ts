import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from './support/command.ts';
import { expectDuplicate } from './support/expect.ts';
import { type Config, type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import type { LogLine } from './support/log-line.ts';
import { metric, untilMetric } from './support/metrics.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';
import { configText, reload } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { headerOf, headersOf, startUpstream, type Upstream } from './support/upstream.ts';

const HEADER = 'x-codat-clientid';
/** What an id may hold, and the key of a store or a metric may not. */
const ODD = 'acct:7/[e]*';
const key = newSecret(48);
const [ofRoute, ofAnn, ofBob] = [newSecret(), newSecret(), newSecret()];

let redis: RedisServer | undefined;
beforeAll(async () => {
  if (hasRedis()) redis = await startRedis();
});

const DRIVERS = hasRedis() ? (['sqlite', 'redis'] as const) : (['sqlite'] as const);

describe.each(DRIVERS)('the queue of clients, driver %s', (driver) => {
  let [anns, bobs, routes]: Upstream[] = [];
  let state: object;
  beforeAll(async () => {
    [anns, bobs, routes] = [await startUpstream(), await startUpstream(), await startUpstream()];
    state =
      driver === 'sqlite'
        ? { driver, path: 'postern.db' }
        : { driver, url: redis?.url, prefix: randomUUID() };
  });

  const ann = { id: 'ann', secrets: [ofAnn], upstream: 'anns' };
  const bob = { id: ODD, secrets: [ofBob], upstream: 'bobs' };
  const config = (known: object[] | undefined, more: object = {}): Config => ({
    state,
    limits: { drain_timeout: '500ms' },
    upstreams: {
      anns: { targets: [anns?.url], late: '60s' },
      bobs: { targets: [bobs?.url] },
      routes: { targets: [routes?.url] },
    },
    routes: [
      {
        name: 'a',
        path: '/a',
        addresses: 'any',
        upstream: 'routes',
        deliver: 'queue',
        concurrency: 1,
        retry: { attempts: 3, schedule: ['20ms'], give_up: [422] },
        signature: { scheme: 'standard-webhooks', secrets: [ofRoute] },
        attest: { key },
        ...(known && { clients: { header: HEADER, unknown: 'allow', known } }),
        ...more,
      },
    ],
  });
  const send = async (gateway: Gateway, client: string, secret: string): Promise<string> => {
    const id = `msg_${randomUUID()}`;
    const headers = [[HEADER, client]] as const;
    const answer = await post(gateway, { path: '/a', body: '{}', headers, sign: { secret, id } });
    const record = await gateway.record(answer.id);
    expect([record.status, record.outcome, record.reason]).toEqual([202, 'queued', undefined]);
    return id;
  };
  const delivery = (id: string) => (line: LogLine) => line.msg === 'delivery' && line.message_id === id;
  const events = (gateway: Gateway, command: string, ...words: string[]) =>
    runCommand(['events', command, '--config', join(gateway.folder, 'postern.yaml'), ...words]);
  const idsOf = async (gateway: Gateway, ...words: string[]): Promise<unknown[]> => {
    const { stdout } = await events(gateway, 'list', '--json', ...words);
    return (JSON.parse(stdout) as { events: { message_id: string }[] }).events
      .map(({ message_id: id }) => id)
      .toSorted();
  };

  test('one whose upstream hangs holds up no other, and each is told apart in log, metrics and commands', async () => {
    const gateway = await startGateway(config([ann, bob]));
    const held = holdAnswers(anns as Upstream);
    const first = await send(gateway, 'ann', ofAnn);
    await held.arrived;
    const waits = await send(gateway, 'ann', ofAnn);
    const others = [await send(gateway, ODD, ofBob), await send(gateway, ODD, ofBob)];
    for (const id of others) {
      expect(await gateway.line(delivery(id))).toMatchObject({
        route: 'a',
        client: ODD,
        outcome: 'delivered',
      });
      const seen = await (bobs as Upstream).request((one) => headerOf(one, 'webhook-id') === id);
      expect(headersOf(seen, 'x-postern-client')).toEqual([ODD]);
      expect(decodeJwt(headerOf(seen, 'x-postern-attestation') ?? '')).toMatchObject({ client: ODD });
    }
    const ofRouteItself = await send(gateway, 'nobody', ofRoute);
    expect(await gateway.line(delivery(ofRouteItself))).not.toHaveProperty('client');
    expect(headersOf(await (routes as Upstream).request(() => true), 'x-postern-client')).toEqual([]);

    await untilMetric(
      gateway,
      'postern_client_queue_events{route="a",client="ann",state="waiting"}',
      (value) => value === 1,
    );
    expect(await metric(gateway, 'postern_queue_events{route="a",state="waiting"}')).toBe(1);
    expect(await metric(gateway, 'postern_queue_events{route="a",state="delivering"}')).toBe(1);
    expect(await metric(gateway, 'postern_deliveries_total{route="a",outcome="delivered"}')).toBe(3);
    expect(
      await metric(gateway, 'postern_client_deliveries_total{route="a",client="ann",outcome="delivered"}'),
    ).toBe(0);

    expect(await idsOf(gateway, '--route', 'a')).toEqual([first, waits, ...others, ofRouteItself].toSorted());
    expect(await idsOf(gateway, '--route', 'a/ann')).toEqual([first, waits].toSorted());
    expect(await idsOf(gateway, '--route', `a/${encodeURIComponent(ODD)}`)).toEqual(others.toSorted());
    const shown = JSON.parse((await events(gateway, 'show', waits, '--json')).stdout);
    expect(shown.events).toMatchObject([{ route: 'a', client: 'ann' }]);

    held.release();
    anns?.answer();
    for (const id of [first, waits]) {
      expect(await gateway.line(delivery(id))).toMatchObject({ client: 'ann', outcome: 'delivered' });
    }
    expect(await gateway.stop()).toBe(0);
  });

  test('is put back, forgotten and audited by route and by client', async () => {
    const gateway = await startGateway(config([ann, bob]));
    anns?.answer((_request, response) => response.writeHead(422).end());
    const id = await send(gateway, 'ann', ofAnn);
    expect(await gateway.line(delivery(id))).toMatchObject({ outcome: 'dead', client: 'ann' });
    anns?.answer();
    expect((await events(gateway, 'retry', '--failed', '--route', 'a/nobody')).stdout).toMatch(
      /^no event|^0/,
    );
    const since = gateway.lines.length;
    expect((await events(gateway, 'retry', '--failed', '--route', 'a')).stdout).toMatch(/^1 event/);
    expect(await gateway.line(delivery(id), since)).toMatchObject({ outcome: 'delivered', attempt: 2 });

    const again = async (): Promise<number> => {
      const headers = [[HEADER, 'ann']] as const;
      return (await post(gateway, { path: '/a', body: '{}', headers, sign: { secret: ofAnn, id } })).status;
    };
    expect(await again()).toBe(200);
    expect((await events(gateway, 'forget', id, '--route', 'a/an')).exitCode).toBe(1);
    expect((await events(gateway, 'forget', id, '--route', 'a/ann')).exitCode).toBe(0);
    const next = async (): Promise<void> => {
      const place = gateway.lines.length;
      expect(await again()).toBe(202);
      await gateway.line(delivery(id), place);
    };
    await next();
    expect(await again()).toBe(200);
    expect((await events(gateway, 'forget', id, '--route', 'a')).exitCode).toBe(0);
    await next();

    const file = join(gateway.folder, 'audit.jsonl');
    expect((await events(gateway, 'audit', '--file', file, '--route', 'a')).exitCode).toBe(0);
    const verified = await events(gateway, 'audit', '--verify', '--file', file, '--route', 'a');
    expect([verified.exitCode, verified.stderr]).toEqual([0, '']);
    expect(await gateway.stop()).toBe(0);
  });

  test('is delivered by the route itself for a client that is configured no more, and for those before there were any', async () => {
    const gateway = await startGateway(config(undefined));
    const [ofAnns, ofRoutes] = [holdAnswers(anns as Upstream), holdAnswers(routes as Upstream)];
    const seen = (id: string, attempt: string) =>
      (routes as Upstream).request(
        (one) => headerOf(one, 'webhook-id') === id && headerOf(one, 'x-postern-attempt') === attempt,
      );
    const before = await send(gateway, 'ann', ofRoute);
    await seen(before, '1');
    await reload(gateway, { 'postern.yaml': configText(config([ann, bob])) });
    const leaving = await send(gateway, 'ann', ofAnn);
    await ofAnns.arrived;
    await reload(gateway, { 'postern.yaml': configText(config([bob])) });
    ofAnns.release(503);
    // Who it was proved to be of is part of the event.
    expect(headersOf(await seen(leaving, '2'), 'x-postern-client')).toEqual(['ann']);
    expect(await gateway.stop()).toBe(0);
    ofRoutes.release();

    for (const upstream of [anns, routes]) upstream?.answer();
    const later = await startGateway(config([bob]), { folder: gateway.folder });
    for (const [id, attempt] of [
      [before, '2'],
      [leaving, '3'],
    ] as const) {
      expect(await later.line(delivery(id))).toMatchObject({ route: 'a', outcome: 'delivered' });
      await seen(id, attempt);
    }
    expect(later.lines.filter(({ msg }) => msg === 'events of an unknown route wait')).toEqual([]);
    // The claim is the client's, whoever delivers.
    expect(await later.stop()).toBe(0);
    const back = await startGateway(config([ann, bob]), { folder: gateway.folder });
    const copy = { path: '/a', body: '{}', headers: [[HEADER, 'ann']] as const };
    await expectDuplicate(back, await post(back, { ...copy, sign: { secret: ofAnn, id: leaving } }));
    expect(await back.stop()).toBe(0);
  });
});
