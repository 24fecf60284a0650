import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Settings } from '../src/settings.ts';
import { openEvents } from '../src/state.ts';
import { StateFileError } from '../src/store/state-file.ts';
import { startGateway } from './support/gateway.ts';
import { untilMetric } from './support/metrics.ts';
import { attemptOf, queuedEvent } from './support/queued.ts';
import { readiness } from './support/readiness.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { canMount, mountSmallDisk } from './support/small-disk.ts';
import { eventually, openSqlite } from './support/stores.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const body = Buffer.alloc(100_000, '{"n":1} ');
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

describe.skipIf(!canMount())('a full disk', () => {
  test('refuses events and loses none that it took, and takes them again when there is room', async () => {
    const disk = mountSmallDisk(8, 4);
    const store = await openSqlite(join(disk.folder, 'state.db'));
    const taken: string[] = [];
    const refused: string[] = [];
    const acceptOne = async (): Promise<boolean> => {
      const event = queuedEvent({ body });
      return store.queue.accept(event, undefined).then(
        () => taken.push(event.id) > 0,
        () => refused.push(event.id) === 0,
      );
    };
    await eventually(async () => ((await acceptOne()) ? undefined : true), 'a full disk');
    expect(store.problem()).toMatch(/full/);
    await Promise.all(Array.from({ length: 5 }, acceptOne));
    expect(refused).toHaveLength(6);
    disk.free();
    await eventually(() => store.problem() === undefined || undefined, 'the recovery');
    expect(await acceptOne()).toBe(true);
    const { leases } = await store.queue.lease('a', { count: 1000, leaseMs: 60_000, pace: undefined });
    expect(leases.map(({ event }) => event.id)).toEqual(taken);
    for (const lease of leases) await store.queue.settle(lease, attemptOf(lease), { state: 'delivered' });
    await store.close();
  });

  test('refuses a start, which a later one may succeed at', async () => {
    const disk = mountSmallDisk(8, 4);
    const path = join(disk.folder, 'state.db');
    await (await openSqlite(path)).close();
    const rest = join(disk.folder, 'rest');
    expect(() => writeFileSync(rest, Buffer.alloc(8 << 20))).toThrow(/ENOSPC/);
    const error = await openSqlite(path).catch((reason: unknown) => reason);
    expect(error).not.toBeInstanceOf(StateFileError);
    expect(String(error)).toMatch(
      /^Error: cannot be read or written .*; see that its disk has room and is sound$/,
    );
    disk.free();
    await (await openSqlite(path)).close();
  });

  test('makes a gateway answer 503 and say that it is not ready, and nothing else; both end by themselves', async () => {
    const disk = mountSmallDisk(8, 4);
    const path = join(disk.folder, 'state.db');
    const route = {
      name: 'a',
      path: '/a',
      addresses: 'any',
      upstream: 'app',
      deliver: 'queue',
      retry: { schedule: ['1h'] },
      signature: { scheme: 'standard-webhooks', secrets: [secret] },
    };
    const open = { name: 'open', path: '/open', addresses: 'any', upstream: 'app' };
    const state = { driver: 'sqlite', path };
    const gateway = await startGateway({ state, upstreams: { app: upstream.url }, routes: [route, open] });
    upstream.answer(({ target }, response) => response.writeHead(target === '/a' ? 500 : 200).end());
    const [acknowledged, refused] = [new Set<string>(), new Set<string>()];
    const send = async (): Promise<number> => {
      const id = `msg_${randomUUID()}`;
      const answer = await post(gateway, { path: '/a', body, sign: { secret, id } });
      (answer.status === 202 ? acknowledged : refused).add(id);
      if (answer.status === 202) return 202;
      expect(answer.header('retry-after')).toMatch(/^\d+$/);
      expect(await gateway.record(answer.id)).toMatchObject({ status: 503, reason: 'state.unavailable' });
      return answer.status;
    };
    await eventually(async () => {
      const statuses = await Promise.all(Array.from({ length: 4 }, send));
      return statuses.includes(503) || undefined;
    }, 'a full disk');
    await eventually(async () => (await send()) === 503 || undefined, 'nothing but 503');
    expect(await readiness(gateway)).toBe(503);
    // What needs no state goes on.
    expect((await post(gateway, { path: '/open', body: '{}' })).status).toBe(200);

    disk.free();
    await eventually(async () => (await readiness(gateway)) === 200 || undefined, 'the recovery');
    expect(await send()).toBe(202);
    upstream.answer();
    const events = await openEvents({ state: { ...state, keys: [] } } as unknown as Settings);
    await eventually(async () => {
      await events.retry({ states: ['waiting'] });
      return (await events.list({ states: ['waiting', 'delivering'] }, 1)).events.length === 0 || undefined;
    }, 'the deliveries');
    await events.close();
    await untilMetric(gateway, 'postern_queue_events{route="a",state="waiting"}', (left) => left === 0);
    const delivered = new Set(upstream.requests.map((request) => headerOf(request, 'webhook-id')));
    expect([...acknowledged].filter((id) => !delivered.has(id))).toEqual([]);
    expect([...refused].filter((id) => delivered.has(id))).toEqual([]);
    expect(acknowledged.size).toBeGreaterThan(5);
    expect(await gateway.stop()).toBe(0);
  });
});
