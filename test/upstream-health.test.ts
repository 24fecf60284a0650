import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { type Door, startDoor } from './support/door.ts';
import { expectDelivered } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { settled } from './support/hold.ts';
import { metricOf } from './support/metrics.ts';
import { post } from './support/sender.ts';
import { type Answer, headerOf, startUpstream, type Upstream } from './support/upstream.ts';

let one: Upstream;
let two: Upstream;
/** Always well. */
let well: Upstream;
let door: Door;
let gateway: Gateway;
/** What each answers to a health check; everything else is accepted, by `one` maybe later. */
const health = { one: 200, two: 200 };
let held: ((accept: () => void) => void) | undefined;

const answering =
  (name: keyof typeof health): Answer =>
  (request, response) => {
    const accept = () => response.end('accepted');
    if (!request.target.startsWith('/healthz')) {
      if (name === 'one' && held !== undefined) held(accept);
      else accept();
    } else if (health[name] > 0) response.writeHead(health[name]).end('x'.repeat(100_000));
  };

beforeAll(async () => {
  one = await startUpstream({ answer: answering('one') });
  two = await startUpstream({ answer: answering('two') });
  well = await startUpstream();
  door = await startDoor(well);
  const check = { path: '/healthz?deep=1', interval: '50ms', timeout: '1s' };
  const headers = { 'x-internal-key': 'key' };
  const upstreams = {
    pair: { targets: [one.url, two.url], health: check, headers },
    narrow: { targets: [one.url, two.url], connections: 1, health: check },
    shut: {
      targets: [door.url, well.url],
      health: { ...check, interval: '400ms' },
      eject: { failures: 1, duration: '24h' },
    },
  };
  gateway = await startGateway({
    upstreams,
    routes: Object.keys(upstreams).map((name) => ({
      name,
      path: `/${name}`,
      addresses: 'any',
      upstream: name,
    })),
  });
});
beforeEach(async () => {
  Object.assign(health, { one: 200, two: 200 });
  for (const upstream of ['pair', 'narrow'])
    for (const { url } of [one, two]) while ((await isUp(url, upstream)) !== 1);
});

const becomes = async (msg: string, target: string, upstream = 'pair', since = 0) =>
  gateway.line((line) => line.msg === msg && line.target === target && line.upstream === upstream, since);
const isUp = (target: string, upstream = 'pair') =>
  metricOf(gateway, 'postern_upstream_target_up', { upstream, target });

/** The targets of four new events, each of which must be delivered. */
async function places(upstream = 'pair'): Promise<Set<unknown>> {
  const found = new Set<unknown>();
  for (let count = 0; count < 4; count++) {
    const answer = await post(gateway, { path: `/${upstream}`, body: `event ${randomUUID()}` });
    found.add((await expectDelivered(gateway, answer)).upstream);
  }
  return found;
}

test('every target is asked by GET, with the headers of its upstream, over a connection of its own', async () => {
  for (const upstream of [one, two]) {
    const seen = await upstream.request(({ target }) => target === '/healthz?deep=1');
    expect([seen.method, headerOf(seen, 'connection'), headerOf(seen, 'host')]).toEqual([
      'GET',
      'close',
      upstream.authority,
    ]);
    await upstream.request((request) => headerOf(request, 'x-internal-key') === 'key');
  }
  expect(await places()).toEqual(new Set([one.url, two.url]));
});

test.each([
  [503, /^health check: answered 503$/],
  [302, /^health check: answered 302$/],
  [0, /^health check: no answer within 1000 ms$/],
])('a target that says %i gets no requests until it is well again', async (status, words) => {
  const since = gateway.lines.length;
  health.one = status;
  const line = await becomes('target ejected', one.url, 'pair', since);
  expect([line.level, line.detail]).toEqual(['warn', expect.stringMatching(words)]);
  expect(await places()).toEqual(new Set([two.url]));
  expect([await isUp(one.url), await isUp(two.url)]).toEqual([0, 1]);
  health.one = 204;
  await becomes('target back', one.url, 'pair', since);
  expect(await places()).toEqual(new Set([one.url, two.url]));
  expect(await isUp(one.url)).toBe(1);
});

test('when all are ill, requests try them all the same', async () => {
  const since = gateway.lines.length;
  Object.assign(health, { one: 500, two: 500 });
  await becomes('target ejected', one.url, 'pair', since);
  await becomes('target ejected', two.url, 'pair', since);
  expect(await places()).toEqual(new Set([one.url, two.url]));
  expect([await isUp(one.url), await isUp(two.url)]).toEqual([0, 0]);
});

test('a request that waits is given to a target that is well again', async () => {
  const since = gateway.lines.length;
  health.two = 500;
  await becomes('target ejected', two.url, 'narrow', since);
  const arrived = new Promise<() => void>((resolve) => {
    held = resolve;
  });
  const first = post(gateway, { path: '/narrow', body: 'first' });
  const accept = await arrived;
  const waiting = post(gateway, { path: '/narrow', body: 'waiting' });
  await settled(gateway);
  health.two = 200;
  expect((await expectDelivered(gateway, await waiting)).upstream).toBe(two.url);
  held = undefined;
  accept();
  expect((await expectDelivered(gateway, await first)).upstream).toBe(one.url);
});

test('a target that could not be connected to is back as soon as a check succeeds', async () => {
  const failures = { upstream: 'shut', target: door.url };
  let since = 0;
  for (;;) {
    since = gateway.lines.length;
    await door.shut();
    expect(await places('shut')).toEqual(new Set([well.url]));
    await becomes('target ejected', door.url, 'shut', since);
    if (await metricOf(gateway, 'postern_upstream_connect_failures_total', failures)) break;
    // A check was quicker to find out than a request.
    await door.open();
    await becomes('target back', door.url, 'shut', since);
  }
  await door.open();
  await becomes('target back', door.url, 'shut', since);
  expect(await places('shut')).toEqual(new Set([door.url, well.url]));
});

test('a check that is under way does not keep the process', async () => {
  const silent = await startDoor(one, 'hold');
  const own = await startGateway({
    upstreams: { app: { targets: [silent.url], health: { path: '/healthz', timeout: '1h' } } },
    routes: [{ name: 'a', path: '/a', addresses: 'any', upstream: 'app' }],
  });
  await silent.reached(1);
  expect(await own.stop()).toBe(0);
});
