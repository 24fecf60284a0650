import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers } from './support/hold.ts';
import { metric } from './support/metrics.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const FALLBACKS = 'postern_state_fallbacks_total{route="allows"}';

describe.skipIf(!hasRedis())('Redis away', () => {
  let redis: RedisServer;
  let upstream: Upstream;
  beforeEach(async () => {
    [redis, upstream] = [await startRedis(), await startUpstream()];
  });
  afterEach(() => upstream.answer());

  const common = { addresses: 'any', upstream: 'app' };
  const signed = { ...common, signature: { scheme: 'standard-webhooks', secrets: [secret] } };
  const refuses = { name: 'refuses', path: '/refuses', ...signed };
  const allows = { name: 'allows', path: '/allows', on_state_loss: 'allow', ...signed };
  const plain = { name: 'plain', path: '/plain', ...common };
  const limited = { name: 'limited', path: '/limited', ...common, rate_limit: { rate: '2/1h' } };
  const allowsLimited = {
    ...limited,
    name: 'allows-limited',
    path: '/allows-limited',
    on_state_loss: 'allow',
  };

  const start = (routes: object[]): Promise<Gateway> =>
    startGateway({
      state: { driver: 'redis', url: redis.url },
      upstreams: { app: upstream.url },
      routes,
    });
  const newId = (): string => `msg_${randomUUID()}`;
  const send = (gateway: Gateway, path: string, id = newId()): Promise<Answer> =>
    post(gateway, { path, body: '{"a":1}', sign: { secret, id } });
  const probe = async (gateway: Gateway): Promise<[number, string]> => {
    const answer = await fetch(`http://127.0.0.1:${gateway.admin?.port}/readyz`);
    return [answer.status, await answer.text()];
  };
  const away = (gateway: Gateway, since = 0) => gateway.line(({ msg }) => msg === 'state away', since);
  const back = (gateway: Gateway, since = 0) => gateway.line(({ msg }) => msg === 'state back', since);

  test.each(['killed', 'hanging'])(
    '(%s) routes refuse what needs it, nobody waits for it, and all is well when it is back',
    async (how) => {
      const gateway = await start([refuses, limited, plain]);
      const known = newId();
      await expectDelivered(gateway, await send(gateway, '/refuses', known));
      expect(await probe(gateway)).toEqual([200, 'ok\n']);
      if (how === 'killed') await redis.kill9();
      else redis.signal('SIGSTOP');
      for (const path of ['/refuses', '/limited', '/refuses']) {
        const act = () => send(gateway, path);
        const { answer, record } = await expectRefused(gateway, upstream, act, 503, 'state.unavailable');
        expect(answer.header('retry-after')).toMatch(/^\d+$/);
        expect(record.detail).toMatch(/^redis: /);
      }
      await expectDelivered(gateway, await send(gateway, '/plain'));
      expect(await away(gateway)).toMatchObject({
        level: 'warn',
        refused: ['refuses', 'limited'],
        allowed: [],
      });
      const [status, text] = await probe(gateway);
      expect([status, text]).toEqual([503, expect.stringMatching(/^redis: /)]);

      if (how === 'killed') await redis.start();
      else redis.signal('SIGCONT');
      expect(await back(gateway)).toMatchObject({ level: 'info' });
      await expectDuplicate(gateway, await send(gateway, '/refuses', known));
      await expectDelivered(gateway, await send(gateway, '/refuses'));
      expect((await probe(gateway))[0]).toBe(200);
      expect(gateway.lines.filter(({ msg }) => msg === 'state away')).toHaveLength(1);
      expect(await gateway.stop()).toBe(0);
    },
  );

  test.each(['killed', 'hanging'])(
    '(%s) routes that allow go by their own memory, say so, and still know afterwards what they did',
    async (how) => {
      const gateway = await start([allows, allowsLimited]);
      const [before, during] = [newId(), newId()];
      await expectDelivered(gateway, await send(gateway, '/allows', before));
      expect(await metric(gateway, FALLBACKS)).toBe(0);
      if (how === 'killed') await redis.kill9();
      else redis.signal('SIGSTOP');
      await expectDelivered(gateway, await send(gateway, '/allows', during));
      await expectDuplicate(gateway, await send(gateway, '/allows', during));
      expect(await metric(gateway, FALLBACKS)).toBeGreaterThan(0);
      const statuses = [];
      for (let count = 0; count < 3; count++) statuses.push((await send(gateway, '/allows-limited')).status);
      expect(statuses).toEqual([200, 200, 429]);
      expect(await away(gateway)).toMatchObject({
        level: 'warn',
        refused: [],
        allowed: ['allows', 'allows-limited'],
      });
      expect(await probe(gateway)).toEqual([200, expect.stringMatching(/^ok, but .*redis: /)]);

      if (how === 'killed') await redis.start();
      else redis.signal('SIGCONT');
      await back(gateway);
      const fallen = await metric(gateway, FALLBACKS);
      await expectDuplicate(gateway, await send(gateway, '/allows', before));
      await expectDuplicate(gateway, await send(gateway, '/allows', during));
      await expectDelivered(gateway, await send(gateway, '/allows'));
      expect(await metric(gateway, FALLBACKS)).toBe(fallen);
      expect(await gateway.stop()).toBe(0);
    },
  );

  test('in the middle of a delivery: the sender hears of the upstream’s 2xx, and the claim is kept once it is back', async () => {
    const gateway = await start([refuses]);
    const id = newId();
    const { release } = holdAnswers(upstream);
    const answer = send(gateway, '/refuses', id);
    await upstream.request((one) => headerOf(one, 'webhook-id') === id);
    await redis.kill9();
    await away(gateway);
    release();
    await expectDelivered(gateway, await answer);
    await redis.start();
    await back(gateway);
    await expectDuplicate(gateway, await send(gateway, '/refuses', id));
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await gateway.stop()).toBe(0);
  });

  test('at the start: the gateway listens, is not ready, and is ready when Redis comes', async () => {
    await redis.kill9();
    const gateway = await start([refuses, plain]);
    expect(await away(gateway)).toMatchObject({ problem: expect.stringContaining('ECONNREFUSED') });
    expect((await probe(gateway))[0]).toBe(503);
    await expectRefused(gateway, upstream, () => send(gateway, '/refuses'), 503, 'state.unavailable');
    await expectDelivered(gateway, await send(gateway, '/plain'));
    await redis.start();
    await back(gateway);
    expect((await probe(gateway))[0]).toBe(200);
    await expectDelivered(gateway, await send(gateway, '/refuses'));
    expect(await gateway.stop()).toBe(0);
  });

  test('a gateway without it stops in time all the same', async () => {
    const gateway = await start([refuses]);
    redis.signal('SIGSTOP');
    await expectRefused(gateway, upstream, () => send(gateway, '/refuses'), 503, 'state.unavailable');
    expect(await gateway.stop()).toBe(0);
    redis.signal('SIGCONT');
  });
});
