import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { type Gateway, startGateway } from './support/gateway.ts';
import { untilMetric } from './support/metrics.ts';
import { drawn, SEED } from './support/moments.ts';
import { newSecret } from './support/secrets.ts';
import { connect, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const ROUNDS = 12;
const SENDERS = 12;
const CONCURRENCY = 8;
const MOST_LOAD_MS = 300;
const secret = newSecret();
let upstream: Upstream;

beforeAll(async () => {
  const delays = drawn(fc.integer({ min: 0, max: 8 }), 997);
  upstream = await startUpstream({
    answer: (_request, response) => {
      const place = upstream.requests.length;
      const delayMs = delays[place % delays.length];
      // Now and then an upstream is not well; its events come back.
      setTimeout(() => response.writeHead(place % 13 === 0 ? 503 : 200).end(), delayMs);
    },
  });
});

const start = (folder?: string): Promise<Gateway> => {
  const config = {
    state: { driver: 'sqlite', path: 'data/postern.db' },
    upstreams: { app: upstream.url },
    routes: [
      {
        name: 'queued',
        path: '/queued',
        addresses: 'any',
        upstream: 'app',
        deliver: 'queue',
        concurrency: CONCURRENCY,
        retry: { attempts: 50, schedule: ['20ms'] },
        signature: { scheme: 'standard-webhooks', secrets: [secret] },
      },
    ],
  };
  return startGateway(config, folder === undefined ? {} : { folder });
};

/** Sends new events over kept connections, as fast as they are answered, until the connections break; gives those with a 2xx. */
async function load(gateway: Gateway): Promise<string[]> {
  const acknowledged: string[] = [];
  const sender = async (): Promise<void> => {
    const on = await connect(gateway).catch(() => undefined);
    if (on === undefined) return;
    for (;;) {
      const id = `msg_${randomUUID()}`;
      const sign = { secret, id };
      const answer = await post(gateway, { path: '/queued', body: '{}', sign, on }).catch(() => undefined);
      if (answer === undefined) return;
      expect(answer.status).toBe(202);
      acknowledged.push(id);
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
  return acknowledged;
}

test(`kill -9 at any moment loses no event that got its 202, and repeats only what was being delivered (CRASH_SEED=${SEED})`, async () => {
  const acknowledged: string[] = [];
  let gateway = await start();
  for (const loadMs of drawn(fc.integer({ min: 0, max: MOST_LOAD_MS }), ROUNDS)) {
    const loading = load(gateway);
    await new Promise((resolve) => setTimeout(resolve, loadMs));
    await gateway.kill9();
    acknowledged.push(...(await loading));
    gateway = await start(gateway.folder);
  }
  await untilMetric(gateway, 'postern_queue_events{route="queued",state="waiting"}', (left) => left === 0);
  await untilMetric(gateway, 'postern_queue_events{route="queued",state="delivering"}', (left) => left === 0);
  expect(await gateway.stop()).toBe(0);

  const taken = upstream.requests.filter((_, place) => (place + 1) % 13 !== 0);
  const seen = Map.groupBy(taken, (request) => headerOf(request, 'webhook-id') as string);
  const lost = acknowledged.filter((id) => !seen.has(id));
  const repeats = [...seen.values()].reduce((sum, { length }) => sum + length - 1, 0);
  console.info(
    `CRASH_SEED=${SEED}: ${ROUNDS} crashes, ${acknowledged.length} events acknowledged, ` +
      `${repeats} of ${taken.length} deliveries were repeats`,
  );
  expect(lost).toEqual([]);
  expect(repeats).toBeLessThanOrEqual(ROUNDS * CONCURRENCY);
  // A repeat says so: its attempt is not the first.
  for (const [, ...again] of seen.values())
    for (const request of again) expect(Number(headerOf(request, 'x-postern-attempt'))).toBeGreaterThan(1);
  // Without a load there would be nothing to lose.
  expect(acknowledged.length).toBeGreaterThan(ROUNDS);
}, 90_000);
