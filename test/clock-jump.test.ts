import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import type { LogLine } from './support/log-line.ts';
import { post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const HOUR_MS = 3_600_000;
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

function start(
  env: Readonly<Record<string, string>>,
  more: { readonly retry?: object; readonly folder?: string; readonly driver?: string },
): Promise<Gateway> {
  const { driver = 'sqlite', retry = { schedule: ['1s'] }, folder } = more;
  const route = {
    name: 'a',
    path: '/a',
    addresses: 'any',
    upstream: 'app',
    deliver: 'queue',
    concurrency: 1,
    retry,
  };
  const config = {
    state: driver === 'sqlite' ? { driver, path: 'postern.db' } : { driver },
    upstreams: { app: upstream.url },
    routes: [route],
  };
  const preload = fileURLToPath(new URL('./support/shifting-clock.mjs', import.meta.url));
  return startGateway(config, { env, preload, ...(folder !== undefined && { folder }) });
}

async function accepted(gateway: Gateway): Promise<string> {
  const answer = await post(gateway, { path: '/a', body: '{}' });
  expect(answer.status).toBe(202);
  return answer.header('x-request-id') as string;
}
const delivery =
  (id: string, attempt: number) =>
  (line: LogLine): boolean =>
    line.msg === 'delivery' && line.id === id && line.attempt === attempt;

test.each(['sqlite', 'memory'])(
  'a clock that is set back by hours delays neither retries nor what waits (%s)',
  async (driver) => {
    const gateway = await start({ CLOCK_JUMP_MS: String(-5 * HOUR_MS) }, { driver });
    const held = holdAnswers(upstream);
    const first = await accepted(gateway);
    await held.arrived;
    const others = [await accepted(gateway), await accepted(gateway)];
    gateway.signal('SIGUSR2');
    await gateway.line(({ msg, warning }) => msg === 'state' && /set back by 1\d{4} s/.test(String(warning)));
    held.release(503);
    upstream.answer();
    expect(await gateway.line(delivery(first, 1))).toMatchObject({ outcome: 'waiting' });
    for (const id of others) {
      expect(await gateway.line(delivery(id, 1))).toMatchObject({ outcome: 'delivered' });
    }
    expect(await gateway.line(delivery(first, 2))).toMatchObject({ outcome: 'delivered' });
    expect(await gateway.stop()).toBe(0);
  },
);

test('a clock that was set back while the gateway was away delays nothing that waits', async () => {
  const before = await start({}, {});
  const held = holdAnswers(upstream);
  await accepted(before);
  await held.arrived;
  const id = await accepted(before);
  await before.kill9();
  upstream.answer();
  const after = await start({ CLOCK_OFF_MS: String(-5 * HOUR_MS) }, { folder: before.folder });
  expect(await after.line(delivery(id, 1))).toMatchObject({ outcome: 'delivered' });
  expect(await after.stop()).toBe(0);
  // Put right again, and nothing is due too late by that either.
  const last = await start({}, { folder: before.folder });
  const late = await accepted(last);
  expect(await last.line(delivery(late, 1))).toMatchObject({ outcome: 'delivered' });
  expect(await last.stop()).toBe(0);
});

test('a clock that is set forward, or a machine that slept, makes due what would have been meanwhile', async () => {
  const gateway = await start({ CLOCK_JUMP_MS: String(5 * HOUR_MS) }, { retry: { schedule: ['2h'] } });
  upstream.answer((_request, response) => response.writeHead(503).end());
  const id = await accepted(gateway);
  await gateway.line(delivery(id, 1));
  upstream.answer();
  gateway.signal('SIGUSR2');
  expect(await gateway.line(delivery(id, 2))).toMatchObject({ outcome: 'delivered' });
  expect(await gateway.stop()).toBe(0);
});
