import { beforeAll, describe, expect, test } from 'vitest';
import { type Gateway, startGateway } from './support/gateway.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';
import { type Answer, type Connection, connect, post } from './support/sender.ts';
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
});
