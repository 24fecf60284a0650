import { randomUUID } from 'node:crypto';
import { closeSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Gateway, type StartOptions, startGateway } from './support/gateway.ts';
import { deliveriesOf } from './support/hold.ts';
import { attemptOf, queuedEvent } from './support/queued.ts';
import { readiness } from './support/readiness.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { eventually, freshSqlite } from './support/stores.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

const start = (options: StartOptions = {}): Promise<Gateway> => {
  const route = {
    name: 'a',
    path: '/a',
    addresses: 'any',
    upstream: 'app',
    deliver: 'queue',
    retry: { attempts: 1000, schedule: ['20ms'] },
    signature: { scheme: 'standard-webhooks', secrets: [secret] },
  };
  const state = { driver: 'sqlite', path: 'postern.db' };
  return startGateway({ state, upstreams: { app: upstream.url }, routes: [route] }, options);
};

async function send(gateway: Gateway): Promise<{ id: string; status: number }> {
  const id = `msg_${randomUUID()}`;
  const answer = await post(gateway, { path: '/a', body: '{}', sign: { secret, id } });
  if (answer.status !== 202) {
    expect([answer.status, answer.header('retry-after')]).toEqual([503, expect.stringMatching(/^\d+$/)]);
    expect((await gateway.record(answer.id)).reason).toBe('state.unavailable');
  }
  return { id, status: answer.status };
}
const delivered = (gateway: Gateway, id: string) =>
  gateway.line(({ msg, message_id }) => msg === 'delivery' && message_id === id);

/** Nothing is taken while it lasts, everything afterwards, and of what was refused nothing is delivered. */
async function expectOutage(gateway: Gateway, begin: () => void, end: () => void): Promise<void> {
  const before = await send(gateway);
  expect(before.status).toBe(202);
  await delivered(gateway, before.id);
  begin();
  const refused = [await send(gateway), await send(gateway)];
  expect(refused.map(({ status }) => status)).toEqual([503, 503]);
  expect(await readiness(gateway)).toBe(503);
  end();
  await eventually(async () => (await readiness(gateway)) === 200 || undefined, 'the recovery');
  const after = await send(gateway);
  expect(after.status).toBe(202);
  await delivered(gateway, after.id);
  for (const { id } of refused) expect(deliveriesOf(upstream, id)).toBe(0);
  expect(await gateway.stop()).toBe(0);
  expect(deliveriesOf(upstream, before.id)).toBe(1);
}

describe('a route that queues answers 503 before anything is lost, and recovers by itself, where', () => {
  test('another program keeps the state file locked', async () => {
    const gateway = await start();
    const lock = new DatabaseSync(join(gateway.folder, 'postern.db'), { timeout: 5000 });
    try {
      await expectOutage(
        gateway,
        () => lock.exec('BEGIN IMMEDIATE'),
        () => lock.exec('ROLLBACK'),
      );
    } finally {
      lock.close();
    }
  });

  test('the disk does not confirm what was written', async () => {
    const preload = fileURLToPath(new URL('./support/failing-sync.mjs', import.meta.url));
    const gateway = await start({ preload });
    await expectOutage(
      gateway,
      () => gateway.signal('SIGUSR2'),
      () => gateway.signal('SIGUSR2'),
    );
  });

  test('the state file was moved away, from the first event on', async () => {
    const gateway = await start();
    const file = join(gateway.folder, 'postern.db');
    await expectOutage(
      gateway,
      () => renameSync(file, `${file}.away`),
      () => renameSync(`${file}.away`, file),
    );
  });
});

test('nothing is delivered that the disk has not confirmed, though its worker is busy with other events', async () => {
  const preload = fileURLToPath(new URL('./support/failing-sync.mjs', import.meta.url));
  const gateway = await start({ preload, env: { SYNC_FAILS_AFTER_MS: '1000' } });
  upstream.answer((_request, response) => response.writeHead(503).end());
  const busy = await send(gateway);
  await delivered(gateway, busy.id);
  gateway.signal('SIGUSR2');
  const since = gateway.lines.length;
  const refused = await send(gateway);
  expect(refused.status).toBe(503);
  // Its worker has looked for more to do all the while.
  const attempts = gateway.lines.slice(since).filter(({ message_id }) => message_id === busy.id);
  expect(attempts.length).toBeGreaterThan(2);
  gateway.signal('SIGUSR2');
  await eventually(async () => (await readiness(gateway)) === 200 || undefined, 'the recovery');
  const after = await send(gateway);
  await delivered(gateway, after.id);
  expect(deliveriesOf(upstream, refused.id)).toBe(0);
  expect(await gateway.stop()).toBe(0);
});

test('a state file that turns out to be damaged is not written to any more, and the gateway stays up', async () => {
  const first = await start();
  expect((await send(first)).status).toBe(202);
  expect(await first.stop()).toBe(0);
  overwritePage(join(first.folder, 'postern.db'), 'payloads');
  const gateway = await start({ folder: first.folder });
  expect((await send(gateway)).status).toBe(503);
  expect(await readiness(gateway)).toBe(503);
  expect((await send(gateway)).status).toBe(503);
  const line = await gateway.record(({ detail }) => detail?.includes('damaged') === true);
  expect(line.detail).toMatch(/restore it or move it away, and restart/);
  expect(await gateway.stop()).toBe(0);
});

test('what came of a delivery is kept until it can be written down, so that it is not made again', async () => {
  const state = await freshSqlite();
  const store = await state.open();
  await store.queue.accept(queuedEvent(), undefined);
  const request = { count: 1, leaseMs: 500, pace: undefined };
  const [lease] = (await store.queue.lease('a', request)).leases;
  if (lease === undefined) throw new Error('nothing is due');
  const lock = new DatabaseSync(state.file, { timeout: 5000 });
  lock.exec('BEGIN IMMEDIATE');
  const settle = () => store.queue.settle(lease, attemptOf(lease, { status: 200 }), { state: 'delivered' });
  await expect(settle()).rejects.toThrow(/locked/);
  const overrunMs = Date.now() + request.leaseMs;
  await eventually(() => Date.now() > overrunMs || undefined, 'the end of the lease');
  lock.close();
  await eventually(() => store.problem() === undefined || undefined, 'the recovery');
  // Nobody has tried again yet, and the worker asks for more.
  expect(await store.queue.lease('a', request)).toEqual({ leases: [], againMs: undefined });
  await state.close();
});

test('a worker that tries again to settle hears what came of it', async () => {
  const state = await freshSqlite();
  const store = await state.open();
  await store.queue.accept(queuedEvent(), undefined);
  const [lease] = (await store.queue.lease('a', { count: 1, leaseMs: 60_000, pace: undefined })).leases;
  if (lease === undefined) throw new Error('nothing is due');
  const lock = new DatabaseSync(state.file, { timeout: 5000 });
  lock.exec('BEGIN IMMEDIATE');
  const settle = () => store.queue.settle(lease, attemptOf(lease, { status: 200 }), { state: 'delivered' });
  await expect(settle()).rejects.toThrow(/locked/);
  await expect(settle()).rejects.toThrow(/locked/);
  lock.close();
  expect(await eventually(() => settle().catch(() => undefined), 'the third try')).toBe(true);
  const events = await state.events();
  const [found] = (await events.list({}, 2)).events;
  expect(found).toMatchObject({ state: 'delivered', attempts: 1 });
  expect(await events.read(found?.place as string)).toMatchObject({ log: [{ number: 1, status: 200 }] });
  await state.close();
});

/** Writes over the first page of a table. */
function overwritePage(file: string, table: string): void {
  const database = new DatabaseSync(file);
  const { page_size: size } = database.prepare('PRAGMA page_size').get() as { page_size: number };
  const { rootpage: page } = database
    .prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?')
    .get(table) as { rootpage: number };
  database.close();
  const handle = openSync(file, 'r+');
  writeSync(handle, Buffer.alloc(size, 0xff), 0, size, (page - 1) * size);
  closeSync(handle);
}
