import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { metric, untilMetric } from './support/metrics.ts';
import { readiness } from './support/readiness.ts';
import { type Connection, connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const LIMIT_MS = 1000;
const SHED = 'postern_shed_total{reason="limits.event_loop_delay"}';

let upstream: Upstream;
let folder: string;

beforeAll(async () => {
  upstream = await startUpstream();
  folder = await mkdtemp(join(tmpdir(), 'postern-stall-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A gateway whose event loop a test can keep busy. */
async function startStallable(): Promise<{ gateway: Gateway; until: string; reading: string }> {
  const [until, reading] = [join(folder, randomUUID()), join(folder, randomUUID())];
  const gateway = await startGateway(
    {
      limits: { event_loop_delay: `${LIMIT_MS}ms` },
      upstreams: { app: upstream.url },
      routes: [
        { name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' },
        { name: 'alerts', path: '/alerts', sender: 'strict', addresses: 'any', upstream: 'app' },
      ],
    },
    {
      preload: fileURLToPath(new URL('support/stall.ts', import.meta.url)),
      env: { STALL_UNTIL: until, STALL_READING: reading, STALL_MS: String(LIMIT_MS + 200) },
      files: { 'senders/strict.yaml': STRICT },
    },
  );
  return { gateway, until, reading };
}

/** A sender that tries again after one status only. */
const STRICT = `
title: A strict sender
documentation: https://example.com/
methods: [POST]
client_certificate: true
retries: { statuses: [504], schedule: [5s] }
redirects: failed
`;

/** Resolves once the system has taken the bytes: on this machine they have arrived then, whether or not they are read. */
function arrive(connection: Connection, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) =>
    connection.socket.write(bytes, (error) => (error ? reject(error) : resolve())),
  );
}

describe('while the event loop is behind by more than limits.event_loop_delay', () => {
  test('new requests are 503 with Retry-After, what is under way is answered, and the next one is served', async () => {
    const { gateway, until } = await startStallable();
    const { arrived, release } = holdAnswers(upstream);
    const early = await connect(gateway);
    early.send(requestBytes({ path: '/plain', body: 'under way' }));
    await arrived;
    const late = await Promise.all(Array.from({ length: 20 }, () => connect(gateway)));
    const before = upstream.heads();

    gateway.signal('SIGUSR2');
    await gateway.line(({ msg }) => msg === 'stalling');
    await Promise.all(late.map((on) => arrive(on, requestBytes({ path: '/plain', body: 'too much' }))));
    release(201);
    upstream.answer();
    await writeFile(until, '');

    for (const connection of late) {
      const answer = await connection.answer();
      const record = await expectProblem(gateway, answer, 503, 'gateway.overloaded');
      expect([record.detail, record.route]).toEqual(['limits.event_loop_delay', 'plain']);
      expect(answer.header('retry-after')).toBe('1');
      expect(answer.header('connection')).toBeUndefined();
    }
    const answer = await early.answer();
    await expectDelivered(gateway, answer, 201);
    expect(answer.body.toString()).toBe('held');
    expect(upstream.heads(), 'requests that reached the upstream').toBe(before);
    expect(await metric(gateway, SHED)).toBe(late.length);
    // On the same connections: what was shed has been read to its end.
    for (const on of [...late, early]) {
      await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'next', on }));
    }
    expect(await metric(gateway, SHED)).toBe(late.length);
    await untilMetric(gateway, 'postern_event_loop_delay_seconds', (seconds) => seconds < LIMIT_MS / 1000);
    expect(await readiness(gateway)).toBe(200);
    expect(await gateway.stop()).toBe(0);
  });

  test('a sender is told so in the status after which it tries again', async () => {
    const { gateway, until } = await startStallable();
    const connection = await connect(gateway);
    gateway.signal('SIGUSR2');
    await gateway.line(({ msg }) => msg === 'stalling');
    await arrive(connection, requestBytes({ path: '/alerts', body: 'too much' }));
    await writeFile(until, '');
    await expectProblem(gateway, await connection.answer(), 504, 'gateway.overloaded');
    expect(await gateway.stop()).toBe(0);
  });
});

test.each(['taken', 'refused'])(
  'a reload, however long it takes, turns nobody away: one that is %s',
  async (what) => {
    const { gateway, until, reading } = await startStallable();
    const connections = await Promise.all(Array.from({ length: 20 }, () => connect(gateway)));
    if (what === 'refused') await writeFile(join(gateway.folder, 'server.key'), 'no key');
    await writeFile(reading, '');
    gateway.signal('SIGHUP');
    await gateway.line(({ msg }) => msg === 'stalling');
    await Promise.all(
      connections.map((on) => arrive(on, requestBytes({ path: '/plain', body: 'in the middle' }))),
    );
    await writeFile(until, '');
    for (const connection of connections) await expectDelivered(gateway, await connection.answer());
    await gateway.line(
      ({ msg }) => msg === `configuration ${what === 'taken' ? 'reloaded' : 'not reloaded'}`,
    );
    expect(await metric(gateway, SHED)).toBe(0);
    expect(await gateway.stop()).toBe(0);
  },
);

test('limits.event_loop_delay takes effect at a reload', async () => {
  const { gateway, until } = await startStallable();
  const file = join(gateway.folder, 'postern.yaml');
  await writeFile(file, (await readFile(file, 'utf8')).replace(`${LIMIT_MS}ms`, '1h'));
  gateway.signal('SIGHUP');
  await gateway.line(({ msg }) => msg === 'configuration reloaded');
  const connection = await connect(gateway);
  gateway.signal('SIGUSR2');
  await gateway.line(({ msg }) => msg === 'stalling');
  await arrive(connection, requestBytes({ path: '/plain', body: 'late' }));
  await writeFile(until, '');
  await expectDelivered(gateway, await connection.answer());
  expect(await gateway.stop()).toBe(0);
});
