import { expect, test } from 'vitest';
import type { Connection } from '../src/deliver/connection.ts';
import { forward } from '../src/deliver/forward.ts';
import { Pool } from '../src/deliver/pool.ts';
import { openUpstream, type UpstreamObserver } from '../src/deliver/upstream.ts';
import type { Target, UpstreamSettings } from '../src/settings.ts';
import type { Settlement } from '../src/types.ts';
import { holdAnswers } from './support/hold.ts';
import { startUpstream } from './support/upstream.ts';

const QUIET: UpstreamObserver = {
  ejected: () => undefined,
  back: () => undefined,
  connectFailed: () => undefined,
};

const settingsFor = (origin: string): UpstreamSettings => ({
  name: 'app',
  targets: [{ name: origin, origin, socketPath: undefined }],
  timeoutMs: undefined,
  connectTimeoutMs: 2000,
  lateMs: 30_000,
  connections: 1,
  concurrency: 1,
  waiting: 10,
  waitMs: 5000,
  eject: { failures: 3, durationMs: 10_000 },
  health: undefined,
  tls: undefined,
  headers: [],
});

// What a reload does with an upstream; no request from outside can see that moment.
test('a closed upstream ends what is under way and what waits, takes nothing more, and is not busy then', async () => {
  const service = await startUpstream();
  const held = holdAnswers(service);
  const upstream = openUpstream(settingsFor(service.url), QUIET);
  const settlements: Settlement[] = [];
  const send = () =>
    forward(upstream, {
      method: 'POST',
      path: '/',
      headers: [],
      body: Buffer.from('x'),
      timeoutMs: 5000,
      lateMs: 5000,
      wantsBody: () => true,
      settled: (settlement) => settlements.push(settlement),
    });
  expect(upstream.busy).toBe(0);
  const exchanges = [send(), send()];
  await held.arrived;
  expect(upstream.busy).toBe(2);
  await upstream.close();
  const answers = await Promise.all([...exchanges, send()].map(({ answer }) => answer));
  expect(answers).toEqual([
    expect.objectContaining({ reason: 'upstream.reset' }),
    { reason: 'gateway.draining', detail: 'the upstream was closed' },
    { reason: 'gateway.draining', detail: 'the upstream was closed' },
  ]);
  expect(settlements).toHaveLength(3);
  expect(settlements).toEqual(expect.arrayContaining(answers));
  expect(upstream.busy).toBe(0);
  expect([...upstream.targets()]).toEqual([{ upstream: 'app', target: service.url, isUp: true }]);
});

// Between a request's choice of a connection and its first byte is one turn of the event loop.
test('a trial that is given up before anything came of it is left to the next request', async () => {
  const alone = settingsFor('http://127.0.0.1:1');
  const targets = [...alone.targets, ...alone.targets];
  const settings = { ...alone, targets, eject: { failures: 1, durationMs: 1 } };
  const due = Promise.withResolvers<void>();
  const pool = new Pool(settings.targets[0] as Target, settings, {
    ejected: () => undefined,
    back: () => undefined,
    connectFailed: () => undefined,
    changed: () => pool.isDue && due.resolve(),
  });
  const connection = pool.take() as Connection;
  pool.failed(connection, new Error('refused'));
  pool.put(connection);
  expect([pool.isUp, pool.isDue]).toEqual([false, false]);
  await due.promise;
  expect(pool.take()).toBe(connection);
  expect(pool.isDue).toBe(false);
  pool.put(connection);
  expect([pool.isUp, pool.isDue]).toEqual([false, true]);
  await pool.close();
});

test('a connection that could not be made does not stand before one that works', async () => {
  const service = await startUpstream();
  const settings = { ...settingsFor(service.url), connections: 2 };
  const pool = new Pool(settings.targets[0] as Target, settings, {
    ejected: () => undefined,
    back: () => undefined,
    connectFailed: () => undefined,
    changed: () => undefined,
  });
  const [works, fails] = [pool.take() as Connection, pool.take() as Connection];
  await new Promise<void>((resolve, reject) => {
    works.dispatch(
      { method: 'GET', path: '/' },
      {
        onRequestStart: () => undefined,
        onResponseStart: () => undefined,
        onResponseData: () => undefined,
        onResponseEnd: () => resolve(),
        onResponseError: (_controller, error) => reject(error),
      },
    );
  });
  pool.put(works);
  pool.put(fails);
  expect(pool.take()).toBe(works);
  expect(pool.take()).toBe(fails);
  await pool.close();
});
