import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate } from './support/expect.ts';
import { type Gateway, startAndEnd } from './support/gateway.ts';
import { deliveriesOf, holdAnswers } from './support/hold.ts';
import { besides, newId, openState, reached, send, startOn, stateConfig } from './support/shared-state.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

describe('the queue of two processes', () => {
  test('delivers at once what was being delivered by one that is killed', async () => {
    const id = newId();
    const a = await startOn(upstream);
    holdAnswers(upstream);
    expect((await send(a, id, undefined, '/queued')).status).toBe(202);
    await reached(upstream, id);
    const b = await startOn(upstream, a.folder);
    upstream.answer();
    await a.kill9();
    await reached(upstream, id, 2);
    await expectDuplicate(b, await send(b, id, undefined, '/queued'));
    expect(await b.stop()).toBe(0);
    expect(deliveriesOf(upstream, id)).toBe(2);
  });

  test('accepts once, and delivers once, what both get at the same time', async () => {
    const a = await startOn(upstream);
    const b = await startOn(upstream, a.folder);
    const ids = Array.from({ length: 100 }, newId);
    for (let from = 0; from < ids.length; from += 10) {
      const some = ids.slice(from, from + 10);
      const copies = some.flatMap((id) => [a, b].map((gateway) => send(gateway, id, undefined, '/queued')));
      for (const { status } of await Promise.all(copies)) expect([200, 202]).toContain(status);
    }
    await Promise.all(ids.map((id) => reached(upstream, id)));
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
    for (const id of ids) expect([id, deliveriesOf(upstream, id)]).toEqual([id, 1]);
    const records = [a, b].flatMap(({ lines }) => lines);
    expect(records.filter((line) => line.outcome === 'queued')).toHaveLength(100);
    expect(records.filter((line) => line.outcome === 'duplicate')).toHaveLength(100);
  });
});

describe('a state file', () => {
  test('that was copied with processes in it that never were here is used at once', async () => {
    const [id, waits] = [newId(), newId()];
    const a = await startOn(upstream);
    const b = await startOn(upstream, a.folder);
    holdAnswers(upstream);
    const firsts = Promise.allSettled([send(a, id), send(b, waits)]);
    await Promise.all([reached(upstream, id), reached(upstream, waits)]);
    const folder = mkdtempSync(join(tmpdir(), 'postern-copied-'));
    try {
      const open = openState(a);
      open.exec(`VACUUM INTO '${join(folder, 'state.db')}'`);
      open.close();
      upstream.answer();
      const copied = await startOn(upstream, folder);
      for (const one of [id, waits]) await expectDelivered(copied, await send(copied, one));
      expect(await copied.stop()).toBe(0);
      expect(besides(copied)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
    await Promise.all([a.kill9(), b.kill9()]);
    await firsts;
  });

  test('of the first version is not used while its process runs; what that one leaves is no hindrance', async () => {
    const a = await startOn(upstream);
    expect(await a.stop()).toBe(0);
    rmSync(join(a.folder, 'state.db'));
    const first = openState(a);
    first.exec(`
      CREATE TABLE claims (id INTEGER PRIMARY KEY, key TEXT NOT NULL, until INTEGER NOT NULL) STRICT;
      PRAGMA user_version = 1;
    `);
    first.close();
    const owner = new DatabaseSync(join(a.folder, 'state.db-owner'));
    owner.exec('BEGIN EXCLUSIVE');
    const { code, output } = await startAndEnd(stateConfig(upstream), { folder: a.folder });
    expect([code, output]).toEqual([1, expect.stringContaining('in use by a process of an earlier version')]);
    owner.close();
    const b = await startOn(upstream, a.folder);
    expect(besides(b)).toEqual([expect.stringMatching(/^state\.db-process-\d+$/)]);
    expect(await b.stop()).toBe(0);
  });
});

test('many crashes leave no files behind', async () => {
  let last: Gateway | undefined;
  for (let count = 0; count < 3; count++) {
    last = await startOn(upstream, last?.folder);
    const second = await startOn(upstream, last.folder);
    await Promise.all([last.kill9(), second.kill9()]);
  }
  const end = await startOn(upstream, last?.folder);
  expect(besides(end)).toHaveLength(1);
  expect(await end.stop()).toBe(0);
  expect(besides(end)).toEqual([]);
});
