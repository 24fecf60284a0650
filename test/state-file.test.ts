import { mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDuplicate } from './support/expect.ts';
import { startAndEnd, startGateway } from './support/gateway.ts';
import { attemptOf, queuedEvent } from './support/queued.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { eventually, freshSqlite, type State } from './support/stores.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const MIB = 1 << 20;
const secret = newSecret();
let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream();
});

const configOf = () => ({
  state: { driver: 'sqlite', path: 'state.db' },
  upstreams: { app: upstream.url },
  routes: [
    {
      name: 'a',
      path: '/a',
      addresses: 'any',
      upstream: 'app',
      deliver: 'queue',
      signature: { scheme: 'standard-webhooks', secrets: [secret] },
    },
  ],
});

/** A file in a folder of its own, as `make` leaves it. */
function fileWith(sql: string): { folder: string; file: string } {
  const folder = mkdtempSync(join(tmpdir(), 'postern-file-test-'));
  const file = join(folder, 'state.db');
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
  return { folder, file };
}

function pragma(file: string, name: string): unknown {
  const database = new DatabaseSync(file, { readOnly: true });
  const row = database.prepare(`PRAGMA ${name}`).get() as Record<string, unknown>;
  database.close();
  return row[name];
}

describe('a state file', () => {
  test('and its log are for their owner alone', async () => {
    const gateway = await startGateway(configOf());
    expect((await post(gateway, { path: '/a', body: '{}', sign: { secret } })).status).toBe(202);
    const modes = ['state.db', 'state.db-wal'].map(
      (name) => statSync(join(gateway.folder, name)).mode & 0o777,
    );
    expect(modes).toEqual([0o600, 0o600]);
    expect(await gateway.stop()).toBe(0);
  });

  test('of version 1 is taken over with its claims, and can shrink from then on', async () => {
    const laterMs = Date.now() + 3_600_000;
    const { folder, file } = fileWith(`
      PRAGMA journal_mode = WAL;
      CREATE TABLE claims (id INTEGER PRIMARY KEY, key TEXT NOT NULL, until INTEGER NOT NULL) STRICT;
      INSERT INTO claims (key, until) VALUES ('a' || char(10) || char(10) || 'msg_old', ${laterMs});
      PRAGMA user_version = 1;
    `);
    const gateway = await startGateway(configOf(), { folder });
    const sign = { secret, id: 'msg_old' };
    await expectDuplicate(gateway, await post(gateway, { path: '/a', body: '{}', sign }));
    const fresh = await post(gateway, { path: '/a', body: '{}', sign: { secret, id: 'msg_new' } });
    expect(fresh.status).toBe(202);
    await gateway.line(({ msg, outcome }) => msg === 'delivery' && outcome === 'delivered');
    expect(await gateway.stop()).toBe(0);
    expect([
      pragma(file, 'user_version'),
      pragma(file, 'auto_vacuum'),
      pragma(file, 'integrity_check'),
    ]).toEqual([3, 2, 'ok']);
    const again = await startGateway(configOf(), { folder });
    await expectDuplicate(again, await post(again, { path: '/a', body: '{}', sign }));
    expect(await again.stop()).toBe(0);
  });

  test('of version 2 is taken over with its events, and has a quarantine from then on', async () => {
    const state = await freshSqlite();
    const store = await state.open();
    const event = queuedEvent();
    await store.queue.accept(event, undefined);
    await store.close();
    const database = new DatabaseSync(state.file);
    database.exec(`
      DROP INDEX quarantined; DROP INDEX expiring;
      ALTER TABLE events DROP COLUMN print; ALTER TABLE events DROP COLUMN forced;
      ALTER TABLE tallies DROP COLUMN quarantined;
      PRAGMA user_version = 2;
    `);
    database.close();
    await expect(state.events()).rejects.toThrow(
      /^written by an earlier version \(2\); start the gateway with this one first$/,
    );
    const again = await state.open();
    const request = { count: 9, leaseMs: 60_000, pace: undefined };
    expect((await again.queue.lease('a', request)).leases.map((lease) => lease.event)).toEqual([event]);
    const bounds = { print: 'p', limit: 1, ageMs: 60_000 };
    expect(await again.queue.quarantine(queuedEvent(), bounds)).toBe('stored');
    expect(await again.queue.counts()).toMatchObject([{ delivering: 1, waiting: 0, quarantined: 1 }]);
    await again.close();
    expect([pragma(state.file, 'user_version'), pragma(state.file, 'integrity_check')]).toEqual([3, 'ok']);
    await state.close();
  });

  test('of version 4 stops the start with exit code 78, and is left as it is', async () => {
    const { folder, file } = fileWith('CREATE TABLE events (id TEXT); PRAGMA user_version = 4;');
    const { code, output } = await startAndEnd(configOf(), { folder });
    expect(code).toBe(78);
    expect(output).toMatch(
      /state\.db: written by a later version \(4\), this one knows up to 3; use that version/,
    );
    expect(pragma(file, 'user_version')).toBe(4);
  });

  test('that is another program’s database stops the start with exit code 78, and is left as it is', async () => {
    const { folder, file } = fileWith('CREATE TABLE users (name TEXT);');
    const { code, output } = await startAndEnd(configOf(), { folder });
    expect(code).toBe(78);
    expect(output).toMatch(/state\.db: no state file of Postern: it has the tables of another program/);
    expect(pragma(file, 'user_version')).toBe(0);
    expect(pragma(file, 'journal_mode')).toBe('delete');
  });
});

describe('the size of a state file', () => {
  let state: State;
  afterEach(() => state.close());

  test('shrinks when what it held is removed, while it is in use', async () => {
    state = await freshSqlite();
    const store = await state.open({ retention: { sizeBytes: MIB } });
    const body = Buffer.alloc(MIB, 'x');
    for (let place = 0; place < 24; place += 1) await store.queue.accept(queuedEvent({ body }), undefined);
    const request = { count: 24, leaseMs: 60_000, pace: undefined };
    const { leases } = await store.queue.lease('a', request);
    const sizeOf = (): number => statSync(state.file).size;
    await eventually(() => sizeOf() > 20 * MIB || undefined, 'a large file');
    for (const lease of leases) await store.queue.settle(lease, attemptOf(lease), { state: 'delivered' });
    // The file itself changes when the write-ahead log is moved into it, so something has to be written.
    await eventually(async () => {
      await store.queue.accept(queuedEvent({ route: 'b', body: Buffer.alloc(100_000) }), undefined);
      return sizeOf() < 12 * MIB || undefined;
    }, 'a small file');
    expect(pragma(state.file, 'integrity_check')).toBe('ok');
    expect((await store.queue.counts()).find(({ route }) => route === 'a')).toMatchObject({
      waiting: 0,
      dead: 0,
    });
  });
});
