import { randomUUID } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDeliveredAgain, expectDuplicate } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers, settled } from './support/hold.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const body = '{"eventType":"claim.test","payload":{"n":3}}';

describe.skipIf(!hasRedis())('claims on Redis', () => {
  let redis: RedisServer;
  let upstream: Upstream;
  beforeAll(async () => {
    [redis, upstream] = [await startRedis(), await startUpstream()];
  });
  afterEach(() => upstream.answer());

  const start = (): Promise<Gateway> => {
    const common = { addresses: 'any', signature: { scheme: 'standard-webhooks', secrets: [secret] } };
    return startGateway({
      state: { driver: 'redis', url: redis.url },
      upstreams: { app: { targets: [upstream.url], late: '60s' } },
      routes: [
        { name: 'a', path: '/a', upstream: 'app', ...common },
        { name: 'codat', path: '/codat', upstream: 'app', sender: 'codat', ...common },
        { name: 'brief', path: '/brief', upstream: 'app', remember: '1s', ...common },
      ],
    });
  };
  const newId = (): string => `msg_${randomUUID()}`;
  const send = (gateway: Gateway, path: string, id: string, headers: [string, string][] = []) =>
    post(gateway, { path, body, headers, sign: { secret, id } });
  const reached = (id: string) => upstream.request((one) => headerOf(one, 'webhook-id') === id);

  test('a copy is a duplicate at every gateway, and after a restart and a kill -9', async () => {
    const id = newId();
    const [a, b] = [await start(), await start()];
    await expectDelivered(a, await send(a, '/a', id));
    await expectDuplicate(a, await send(a, '/a', id));
    await expectDuplicate(b, await send(b, '/a', id));
    await a.kill9();
    const c = await start();
    await expectDuplicate(c, await send(c, '/a', id));
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await Promise.all([b.stop(), c.stop()])).toEqual([0, 0]);
  });

  test('an id is another event on another route and for another client', async () => {
    const id = newId();
    const gateway = await start();
    await expectDelivered(gateway, await send(gateway, '/a', id));
    await expectDelivered(gateway, await send(gateway, '/codat', id, [['x-codat-clientid', 'one']]));
    await expectDelivered(gateway, await send(gateway, '/codat', id, [['x-codat-clientid', 'two']]));
    await expectDuplicate(gateway, await send(gateway, '/codat', id, [['x-codat-clientid', 'one']]));
    expect(deliveriesOf(upstream, id)).toBe(3);
    expect(await gateway.stop()).toBe(0);
  });

  test('a copy is delivered again once `remember` has passed', async () => {
    const id = newId();
    const gateway = await start();
    await expectDelivered(gateway, await send(gateway, '/brief', id));
    await expectDuplicate(gateway, await send(gateway, '/brief', id));
    await expectDeliveredAgain(gateway, () => send(gateway, '/brief', id));
    expect(deliveriesOf(upstream, id)).toBe(2);
    expect(await gateway.stop()).toBe(0);
  });

  test.each([200, 202, 503, 404])(
    'copies of an event in flight at another gateway get its outcome: %i',
    async (status) => {
      const id = newId();
      const [a, b] = [await start(), await start()];
      const { release } = holdAnswers(upstream);
      const first = send(a, '/a', id);
      await reached(id);
      const copies = [send(a, '/a', id), send(b, '/a', id), send(b, '/a', id)];
      await Promise.all([settled(a), settled(b)]);
      release(status);
      const answers: Answer[] = await Promise.all([first, ...copies]);
      expect(answers.map((answer) => answer.status)).toEqual([status, status, status, status]);
      expect(deliveriesOf(upstream, id)).toBe(1);
      upstream.answer();
      if (status < 300) await expectDuplicate(b, await send(b, '/a', id));
      else await expectDelivered(b, await send(b, '/a', id));
      expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
    },
  );

  test('ten at the same instant at two gateways are one delivery', async () => {
    const id = newId();
    const [a, b] = [await start(), await start()];
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, place) => send(place % 2 === 0 ? a : b, '/a', id)),
    );
    expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: 10 }, () => 200));
    expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
  });

  test('what was in flight at a gateway that is gone from this machine is free at once', async () => {
    const id = newId();
    const [a, b] = [await start(), await start()];
    holdAnswers(upstream);
    const lost = send(a, '/a', id).catch((error: Error) => error);
    await reached(id);
    const waiting = send(b, '/a', id);
    await settled(b);
    await a.kill9();
    expect(await lost).toBeInstanceOf(Error);
    upstream.answer();
    // The copy that waited for the gateway that died is the one that is delivered now.
    await expectDelivered(b, await waiting);
    await expectDuplicate(b, await send(b, '/a', id));
    expect(deliveriesOf(upstream, id)).toBe(2);
    expect(await b.stop()).toBe(0);
  });
});
