import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { type Gateway, startGateway } from './support/gateway.ts';
import { drawn, SEED } from './support/moments.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, type Connection, connect, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const ROUNDS = 14;
const SENDERS = 12;
const MOST_LOAD_MS = 300;
const secret = newSecret();
let upstream: Upstream;

beforeAll(async () => {
  const delays = drawn(fc.integer({ min: 0, max: 8 }), 997);
  upstream = await startUpstream({
    answer: (_request, response) => {
      const delayMs = delays[upstream.requests.length % delays.length];
      setTimeout(() => response.writeHead(200).end('accepted'), delayMs);
    },
  });
});

const start = (folder?: string): Promise<Gateway> => {
  const signature = { scheme: 'standard-webhooks', secrets: [secret] };
  const config = {
    state: { driver: 'sqlite', path: 'data/postern.db' },
    upstreams: { app: upstream.url },
    routes: [{ name: 'signed', path: '/signed', addresses: 'any', upstream: 'app', signature }],
  };
  return startGateway(config, folder === undefined ? {} : { folder });
};

const send = (gateway: Gateway, on: Connection, id: string): Promise<Answer> =>
  post(gateway, { path: '/signed', body: '{"eventType":"a"}', sign: { secret, id }, on });

/** What the senders know of their events: a 2xx came whole, or the connection broke first. */
interface Sent {
  readonly acknowledged: string[];
  readonly open: string[];
}

/** Sends new events over kept connections, as fast as they are answered, until the connections break. */
async function load(gateway: Gateway): Promise<Sent> {
  const sent: Sent = { acknowledged: [], open: [] };
  const sender = async (): Promise<void> => {
    const on = await connect(gateway).catch(() => undefined);
    for (;;) {
      const id = `msg_${randomUUID()}`;
      const answer = on && (await send(gateway, on, id).catch(() => undefined));
      if (answer === undefined) {
        sent.open.push(id);
        return;
      }
      expect([answer.status, answer.body.toString()]).toEqual([200, 'accepted']);
      sent.acknowledged.push(id);
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
  return sent;
}

/** Sends these events again; resolves with the answer to each. */
async function resend(gateway: Gateway, ids: readonly string[]): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>();
  const left = [...ids];
  const sender = async (): Promise<void> => {
    const on = await connect(gateway);
    for (let id = left.pop(); id !== undefined; id = left.pop()) answers.set(id, await send(gateway, on, id));
    on.close();
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
  return answers;
}

/** An event that was acknowledged is known for a copy; any other is delivered, or was before its sender could hear so. */
async function expectRemembered(gateway: Gateway, { acknowledged, open }: Sent): Promise<void> {
  const kept = new Set(acknowledged);
  const since = gateway.lines.length;
  const answers = await resend(gateway, [...acknowledged, ...open]);
  for (const [id, answer] of answers) {
    const { outcome } = await gateway.record(answer.id, since);
    const allowed = kept.has(id) ? ['duplicate'] : ['duplicate', 'delivered'];
    expect(allowed, id).toContain(outcome);
    expect([answer.status, answer.body.toString()]).toEqual([200, outcome === 'duplicate' ? '' : 'accepted']);
  }
}

test(`kill -9 at any moment loses no acknowledged event, and delivers none of them again (CRASH_SEED=${SEED})`, async () => {
  const all: Sent = { acknowledged: [], open: [] };
  let last: Sent = { acknowledged: [], open: [] };
  let gateway = await start();
  for (const loadMs of drawn(fc.integer({ min: 0, max: MOST_LOAD_MS }), ROUNDS)) {
    const loading = load(gateway);
    await new Promise((resolve) => setTimeout(resolve, loadMs));
    await gateway.kill9();
    last = await loading;
    all.acknowledged.push(...last.acknowledged);
    all.open.push(...last.open);
    gateway = await start(gateway.folder);
    await expectRemembered(gateway, last);
  }
  // By now every event has been acknowledged, and the file has been through every crash.
  await expectRemembered(gateway, { acknowledged: [...all.acknowledged, ...all.open], open: [] });
  expect(await gateway.stop()).toBe(0);

  const seen = Map.groupBy(upstream.requests, (request) => headerOf(request, 'webhook-id') as string);
  const timesOf = (ids: readonly string[]): number[] => ids.map((id) => seen.get(id)?.length ?? 0);
  const doubled = timesOf(all.open).filter((times) => times === 2).length;
  console.info(
    `CRASH_SEED=${SEED}: ${ROUNDS} crashes, ${all.acknowledged.length} events acknowledged, ` +
      `${all.open.length} in flight, of these ${doubled} delivered twice`,
  );
  expect(new Set(timesOf(all.acknowledged))).toEqual(new Set([1]));
  for (const times of timesOf(all.open)) expect([1, 2]).toContain(times);
  expect(seen.size).toBe(all.acknowledged.length + all.open.length);
  // Without a load there would be nothing to lose.
  expect(all.acknowledged.length).toBeGreaterThan(ROUNDS);
  expect(all.open).toHaveLength(ROUNDS * SENDERS);
}, 60_000);
