import { randomUUID } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDuplicate } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers } from './support/hold.ts';
import type { LogLine } from './support/log-line.ts';
import { untilMetric } from './support/metrics.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const CONCURRENCY = 4;
const waiting = 'postern_queue_events{route="a",state="waiting"}';
const delivering = 'postern_queue_events{route="a",state="delivering"}';

describe.skipIf(!hasRedis())('gateways that share a queue on Redis', () => {
  let redis: RedisServer;
  let upstream: Upstream;
  let prefix: string;
  beforeAll(async () => {
    [redis, upstream] = [await startRedis(), await startUpstream()];
  });
  afterEach(() => upstream.answer());

  const start = (name: string, more: object = {}): Promise<Gateway> =>
    startGateway({
      state: { driver: 'redis', url: redis.url, prefix },
      upstreams: { app: { targets: [upstream.url], late: '60s', headers: { 'x-gateway': name } } },
      routes: [
        {
          name: 'a',
          path: '/a',
          addresses: 'any',
          upstream: 'app',
          deliver: 'queue',
          concurrency: CONCURRENCY,
          retry: { attempts: 50, schedule: ['20ms'] },
          signature: { scheme: 'standard-webhooks', secrets: [secret] },
          ...more,
        },
      ],
    });
  const startTwo = async (more: object = {}): Promise<[Gateway, Gateway]> => {
    prefix = randomUUID();
    return [await start('0', more), await start('1', more)];
  };
  const newId = (): string => `msg_${randomUUID()}`;
  const send = (gateway: Gateway, id: string): Promise<Answer> =>
    post(gateway, { path: '/a', body: '{"a":1}', sign: { secret, id } });
  /** As senders do: again after a 503, which a machine that is busy gives. */
  const sendOften = async (gateway: Gateway, id: string): Promise<void> => {
    let answer = await send(gateway, id);
    while (answer.status === 503) answer = await send(gateway, id);
    expect([200, 202]).toContain(answer.status);
  };
  const delivery =
    (id: string) =>
    (line: LogLine): boolean =>
      line.msg === 'delivery' && line.message_id === id;
  const untilEmpty = async (gateway: Gateway): Promise<void> => {
    await untilMetric(gateway, waiting, (left) => left === 0);
    await untilMetric(gateway, delivering, (left) => left === 0);
  };

  test('deliver every event once between them, and know each other’s copies', async () => {
    const both = await startTwo();
    const ids = Array.from({ length: 120 }, newId);
    for (let from = 0; from < ids.length; from += 10) {
      const group = ids.slice(from, from + 10);
      await Promise.all(group.map((id, place) => sendOften(both[place % 2] as Gateway, id)));
    }
    await untilEmpty(both[0]);
    for (const id of ids.slice(0, 4)) {
      await expectDuplicate(both[0], await send(both[0], id));
      await expectDuplicate(both[1], await send(both[1], id));
    }
    expect(ids.filter((id) => deliveriesOf(upstream, id) !== 1)).toEqual([]);
    expect(await Promise.all(both.map((gateway) => gateway.stop()))).toEqual([0, 0]);
  });

  test('one delivers what another has accepted and is too busy for', async () => {
    const [a, b] = await startTwo({ concurrency: 1 });
    const held = holdAnswers(upstream);
    const ids = [newId(), newId()];
    for (const id of ids) expect((await send(a, id)).status).toBe(202);
    for (const id of ids) await upstream.request((one) => headerOf(one, 'webhook-id') === id);
    held.release();
    const lines = await Promise.all([a, b].map((gateway) => gateway.line(({ msg }) => msg === 'delivery')));
    expect(lines.map((line) => line.message_id).sort()).toEqual(ids.toSorted());
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
  });

  test('one takes over at once what another was delivering when it was killed', async () => {
    const both = await startTwo();
    holdAnswers(upstream);
    const id = newId();
    await send(both[0], id);
    const seen = await upstream.request((one) => headerOf(one, 'webhook-id') === id);
    const place = Number(headerOf(seen, 'x-gateway'));
    const [killed, other] = [both[place] as Gateway, both[1 - place] as Gateway];
    upstream.answer();
    await killed.kill9();
    // Its lease would have ended only after a minute and a half.
    expect(await other.line(delivery(id))).toMatchObject({ outcome: 'delivered', attempt: 2 });
    expect(deliveriesOf(upstream, id)).toBe(2);
    expect(await other.stop()).toBe(0);
  });

  test('lose nothing that got its 202 when one of them is killed under load, and Redis as well', async () => {
    let [a, b] = await startTwo();
    const acknowledged: string[] = [];
    let isLoading = true;
    const load = async (gateway: Gateway): Promise<void> => {
      const on = await connect(gateway).catch(() => undefined);
      while (on !== undefined && isLoading) {
        const id = newId();
        const answer = await post(gateway, { path: '/a', body: '{}', sign: { secret, id }, on }).catch(
          () => undefined,
        );
        if (answer === undefined) return;
        if (answer.status === 202) acknowledged.push(id);
        else expect(answer.status).toBe(503);
      }
    };
    const loads = [a, a, b, b].map((gateway) => load(gateway));
    const more = async (count: number) => {
      const from = acknowledged.length;
      await expect.poll(() => acknowledged.length, { timeout: 20_000 }).toBeGreaterThan(from + count);
    };
    await more(50);
    await a.kill9();
    a = await start('2');
    loads.push(load(a));
    await more(50);
    await redis.kill9();
    await b.line(({ msg }) => msg === 'state away');
    await redis.start();
    await b.line(({ msg }) => msg === 'state back');
    await more(50);
    isLoading = false;
    await Promise.all(loads);
    await untilEmpty(b);
    const lost = acknowledged.filter((id) => deliveriesOf(upstream, id) === 0);
    const repeats = acknowledged.reduce((sum, id) => sum + deliveriesOf(upstream, id) - 1, 0);
    console.info(`${acknowledged.length} events acknowledged, ${repeats} delivered more than once`);
    expect(lost).toEqual([]);
    // Only what was under way when somebody died: at one gateway, and then at both.
    expect(repeats).toBeLessThanOrEqual(3 * CONCURRENCY);
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
  }, 60_000);
});
