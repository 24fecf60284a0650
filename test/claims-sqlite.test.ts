import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { type Gateway, startAndEnd, startGateway } from './support/gateway.ts';
import { deliveriesOf } from './support/hold.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const body = '{"eventType":"claim.test","payload":{"n":2}}';
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

const config = (path = 'postern.db') => ({
  state: { driver: 'sqlite', path },
  upstreams: { app: { targets: [upstream.url], late: '200ms' } },
  routes: [
    {
      name: 'a',
      path: '/a',
      addresses: 'any',
      upstream: 'app',
      signature: { scheme: 'standard-webhooks', secrets: [secret] },
    },
  ],
});
const newId = (): string => `msg_${randomUUID()}`;
const send = (gateway: Gateway, id: string): Promise<Answer> =>
  post(gateway, { path: '/a', body, sign: { secret, id } });
describe('claims on disk', () => {
  test('survive a restart, and a kill -9 at the moment the sender has its answer', async () => {
    const ids = Array.from({ length: 20 }, newId);
    const first = await startGateway(config());
    await Promise.all(ids.map(async (id) => expectDelivered(first, await send(first, id))));
    await expectDuplicate(first, await send(first, ids[0] as string));
    await first.kill9();

    const second = await startGateway(config(), { folder: first.folder });
    for (const id of ids) await expectDuplicate(second, await send(second, id));
    const late = newId();
    await expectDelivered(second, await send(second, late));
    expect(await second.stop()).toBe(0);

    const third = await startGateway(config(), { folder: first.folder });
    await expectDuplicate(third, await send(third, late));
    for (const id of [...ids, late]) expect(deliveriesOf(upstream, id)).toBe(1);
    expect(await third.stop()).toBe(0);
  });

  test('a claim that was in flight at a crash is free again at the next start', async () => {
    const id = newId();
    const first = await startGateway(config());
    upstream.answer(() => undefined);
    const lost = send(first, id).catch((error: Error) => error);
    await upstream.request((one) => headerOf(one, 'webhook-id') === id);
    await first.kill9();
    expect(await lost).toBeInstanceOf(Error);
    upstream.answer();

    const second = await startGateway(config(), { folder: first.folder });
    await expectDelivered(second, await send(second, id));
    expect(deliveriesOf(upstream, id)).toBe(2);
    expect(await second.stop()).toBe(0);
  });
});

describe('a state file', () => {
  test('that cannot be written is 503 state.unavailable before delivery, and 2xx after the upstream’s 2xx', async () => {
    const gateway = await startGateway(config());
    const lock = new DatabaseSync(join(gateway.folder, 'postern.db'), { timeout: 5000 });
    try {
      // The event is on its way when the disk fails: the upstream has it, so the sender must hear so.
      const late = newId();
      upstream.answer((_request, response) => {
        lock.exec('BEGIN IMMEDIATE');
        response.end('done');
      });
      const answer = await send(gateway, late);
      expect([answer.status, answer.body.toString()]).toEqual([200, 'done']);
      upstream.answer();

      const id = newId();
      const { answer: refused } = await expectRefused(
        gateway,
        upstream,
        () => send(gateway, id),
        503,
        'state.unavailable',
      );
      expect(refused.header('retry-after')).toMatch(/^\d+$/);
      lock.exec('ROLLBACK');
      await new Promise((resolve) => setTimeout(resolve, Number(refused.header('retry-after')) * 1000));
      await expectDelivered(gateway, await send(gateway, id));
      expect(deliveriesOf(upstream, id)).toBe(1);
    } finally {
      lock.close();
    }
    expect(await gateway.stop()).toBe(0);
  });

  test('by a newer version stops the start with exit code 78 and a sentence that names it', async () => {
    const file = 'newer.db';
    const first = await startGateway(config(file));
    expect(await first.stop()).toBe(0);
    const database = new DatabaseSync(join(first.folder, file));
    database.exec('PRAGMA user_version = 999');
    database.close();
    const { code, output } = await startAndEnd(config(file), { folder: first.folder });
    expect(code).toBe(78);
    expect(output).toMatch(/newer\.db.*999/);
  });

  test('that is no database stops the start with a sentence that names it', async () => {
    const { code, output } = await startAndEnd(config('postern.yaml'));
    expect([1, 78]).toContain(code);
    expect(output).toContain('postern.yaml');
    expect(output).not.toMatch(/^\s+at /m);
  });
});
