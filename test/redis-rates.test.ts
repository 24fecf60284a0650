import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { metric, untilMetric } from './support/metrics.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';
import { type Answer, type Connection, connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

describe.skipIf(!hasRedis())('rate limits on Redis', () => {
  let redis: RedisServer;
  let upstream: Upstream;
  beforeAll(async () => {
    [redis, upstream] = [await startRedis(), await startUpstream()];
  });

  const start = (prefix: string, rate_limit: object): Promise<Gateway> =>
    startGateway({
      state: { driver: 'redis', url: redis.url, prefix },
      upstreams: { app: upstream.url },
      routes: [{ name: 'a', path: '/a', addresses: 'any', upstream: 'app', rate_limit }],
    });
  const send = (gateway: Gateway, key = '', on?: Connection): Promise<Answer> =>
    post(gateway, { path: '/a', body: 'x', headers: [['x-key', key]], ...(on && { on }) });

  test('two gateways let in together what one limit says', async () => {
    const limit = { rate: '200/10h' };
    const both = [await start('together', limit), await start('together', limit)] as const;
    const answers: Answer[] = [];
    const sendAll = async (gateway: Gateway): Promise<void> => {
      const on = await connect(gateway);
      for (let count = 0; count < 150; count++) {
        let answer = await send(gateway, '', on);
        // A machine that is busy may refuse one for that; it is not counted then.
        while (answer.status === 503) answer = await send(gateway, '', on);
        answers.push(answer);
      }
    };
    await Promise.all(both.map(sendAll));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(200);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(100);
    // 36,000 s over 200: the next one is let in after at most that.
    for (const answer of refused) {
      expect(Number(answer.header('retry-after'))).toBeGreaterThan(100);
      expect(Number(answer.header('retry-after'))).toBeLessThanOrEqual(180);
    }
    expect(await Promise.all(both.map((gateway) => gateway.stop()))).toEqual([0, 0]);
  });

  test('keys count for themselves, and so do gateways of another prefix', async () => {
    const limit = { rate: '2/10h', by: 'header:x-key' };
    const [a, b, other] = [
      await start('keys', limit),
      await start('keys', limit),
      await start('others', limit),
    ];
    expect([(await send(a, 'one')).status, (await send(b, 'one')).status]).toEqual([200, 200]);
    expect([(await send(a, 'one')).status, (await send(b, 'one')).status]).toEqual([429, 429]);
    expect([(await send(a, 'two')).status, (await send(other, 'one')).status]).toEqual([200, 200]);
    expect(await Promise.all([a.stop(), b.stop(), other.stop()])).toEqual([0, 0, 0]);
  });

  test('a limit lets in again after its time, by the clock of Redis', async () => {
    const gateway = await start('again', { rate: '1/1s' });
    expect((await send(gateway)).status).toBe(200);
    const refused = await send(gateway);
    expect([refused.status, refused.header('retry-after')]).toEqual([429, '1']);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect((await send(gateway)).status).toBe(200);
    expect(await gateway.stop()).toBe(0);
  });

  test('two gateways give turns of one limit, first come first served', async () => {
    const limit = { rate: '1/700ms', wait: '1m' };
    const [a, b] = [await start('turns', limit), await start('turns', limit)];
    const held = holdAnswers(upstream);
    const before = upstream.requests.length;
    const connections: [Gateway, Connection][] = [];
    for (const [place, gateway] of [a, b, b, a].entries()) {
      const connection = await connect(gateway);
      const inFlight = await metric(gateway, 'postern_requests_in_flight');
      connection.send(requestBytes({ path: '/a', body: `turn ${place}` }));
      await untilMetric(gateway, 'postern_requests_in_flight', (count) => count === inFlight + 1);
      // It has its turn when Redis has answered, which is when the next question is answered.
      await redis.client().ping();
      connections.push([gateway, connection]);
    }
    await upstream.request(({ body }) => body.toString() === 'turn 3');
    held.release();
    upstream.answer();
    const records = await Promise.all(
      connections.map(async ([gateway, connection]) => expectDelivered(gateway, await connection.answer())),
    );
    const seen = upstream.requests.slice(before).map(({ body }) => body.toString());
    expect(seen).toEqual(['turn 0', 'turn 1', 'turn 2', 'turn 3']);
    expect([records[0]?.ms.waited, (records[3]?.ms.waited ?? 0) > 0]).toEqual([undefined, true]);
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
  });

  test('as many wait at each gateway as the limit lets, and who leaves frees a place', async () => {
    const limit = { rate: '1/1m', wait: '1h', waiting: 1 };
    const [a, b] = [await start('waiting', limit), await start('waiting', limit)];
    expect((await send(a)).status).toBe(200);
    const before = upstream.heads();
    for (const [place, gateway] of [a, b, a].entries()) {
      const connection = await connect(gateway);
      connection.send(requestBytes({ path: '/a', body: 'x' }));
      await untilMetric(gateway, 'postern_requests_in_flight', (count) => count === 1);
      const refused = await send(gateway);
      await expectProblem(gateway, refused, 429, 'rate.exceeded');
      // Each that waited has taken a minute of its own.
      const retryAfterS = Number(refused.header('retry-after'));
      expect(retryAfterS).toBeGreaterThan(60 * (place + 1));
      expect(retryAfterS).toBeLessThanOrEqual(60 * (place + 2));
      connection.close();
      await untilMetric(gateway, 'postern_requests_in_flight', (count) => count === 0);
    }
    expect(upstream.heads()).toBe(before);
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
  });

  test('in report mode a limit lets everybody in, and says what it would have refused, also where Redis is away', async () => {
    const gateway = await start('reported', { rate: '1/10h', mode: 'report' });
    const told = async () => (await expectDelivered(gateway, await send(gateway))).would_refuse;
    expect([await told(), await told()]).toEqual([undefined, ['rate.exceeded']]);
    await redis.kill9();
    expect(await told()).toEqual(['state.unavailable']);
    expect(await gateway.stop()).toBe(0);
    await redis.start();
  });
});
