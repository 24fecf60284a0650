import { afterAll, beforeAll, expect, test } from 'vitest';
import { BodyBudget } from '../src/body.ts';
import { createGateway, type Gateway } from '../src/gateway.ts';
import { type Listener, listen } from '../src/listen/server.ts';
import type { Entry } from '../src/record/entry.ts';
import type { Route } from '../src/request.ts';
import type { Limits } from '../src/settings.ts';
import { memoryStore } from '../src/store/memory.ts';
import type { TlsSettings } from '../src/tls-settings.ts';
import { defaults } from './support/ca.ts';
import type { Gateway as Process } from './support/gateway.ts';
import { connect, requestBytes } from './support/sender.ts';

const recorded: Entry[] = [];
const failed: { id: string; error: unknown }[] = [];
const broken = new Error('a part of the gateway is broken');
let gateway: Gateway;
let listener: Listener;

const claims = memoryStore({ deliveredMs: 0, deadMs: undefined, sizeBytes: undefined }, () => undefined);
let isBroken = true;
/** A route of one event, on which something breaks once it has been claimed. */
const claimed = {
  name: 'claimed',
  methods: new Set(['POST']),
  checks: { head: [], message: [{ name: 'signature', examine: () => ({ messageId: 'msg_1' }) }] },
  bodyLimit: 100,
  eventType: () => undefined,
  clientOf: () => '',
  upstream: { settings: { lateMs: 60_000 } },
  filter: () => {
    if (isBroken) throw broken;
    return 'unwanted';
  },
  deadlineMs: Number.POSITIVE_INFINITY,
  timeoutMs: 60_000,
  claims,
  rememberMs: 60_000,
} as unknown as Route;

// The whole front over real TLS, with one part that throws: no input from outside makes a sound one throw.
const LISTEN = {
  address: '127.0.0.1',
  port: 0,
  reusePort: false,
  proxyProtocol: false,
  trustedProxies: [],
  forwardedFor: false,
};

beforeAll(async () => {
  const { authority, server } = await defaults();
  gateway = createGateway({
    accept: async () => ({ reason: 'state.unavailable' }),
    handOver: () => Promise.reject(new Error('nothing is late')),
    match: ({ path }) => {
      if (path === '/broken') throw broken;
      if (path === '/claimed') return claimed;
      return { reason: 'route.not_found' };
    },
    record: (entry) => recorded.push(entry),
    failed: ({ id }, error) => failed.push({ id, error }),
    refusedConnection: () => undefined,
    late: () => undefined,
    unkeptClaim: () => undefined,
  });
  const tls: TlsSettings = {
    certificate: Buffer.from(server.certificate),
    privateKey: Buffer.from(server.key),
    clientCa: [authority.certificate],
    clientCertificate: 'required',
    minVersion: 'TLSv1.2',
    names: [],
    clientCrl: [],
    clientCrlExpired: 'refuse',
    hosts: [],
  };
  const limits = {
    connections: 10,
    handshakeTimeout: 5000,
    headerTimeout: 5000,
    bodyTimeout: 5000,
    idleTimeout: 5000,
  } as Limits;
  listener = await listen({
    entrance: {
      settings: { listen: LISTEN, tls, limits },
      admits: () => true,
      keepsDer: false,
      room: Number.POSITIVE_INFINITY,
    },
    handler: gateway,
    budget: new BodyBudget(1 << 20),
    notes: {
      full: () => undefined,
      overCap: () => undefined,
      droppedHandshake: () => undefined,
      failedHandshake: () => undefined,
    },
  });
});
afterAll(async () => {
  listener.drain();
  listener.destroy();
  await claims.close();
});

test('an exception in one request is 503 with Retry-After, logged with its id, and the next request is served', async () => {
  const connection = await connect({ port: listener.port } as Process);
  connection.send(requestBytes({ path: '/broken', body: 'x' }));
  const answer = await connection.answer();
  expect([answer.status, answer.problem()]).toEqual([503, { title: 'Service Unavailable', status: 503 }]);
  expect(Number(answer.header('retry-after'))).toBeGreaterThan(0);
  expect(failed).toEqual([{ id: answer.id, error: broken }]);
  expect(recorded.at(-1)).toMatchObject({
    id: answer.id,
    status: 503,
    outcome: 'failed',
    reason: 'gateway.error',
  });

  connection.send(requestBytes({ path: '/sound', body: 'x' }));
  expect((await connection.answer()).status).toBe(404);
  expect(gateway.inFlight()).toBe(0);
  connection.close();
});

test('an exception after an event was claimed frees it: its next copy is dealt with, and does not wait', async () => {
  const connection = await connect({ port: listener.port } as Process);
  connection.send(requestBytes({ path: '/claimed', body: 'x' }));
  expect((await connection.answer()).status).toBe(503);
  isBroken = false;
  connection.send(requestBytes({ path: '/claimed', body: 'x' }));
  const answer = await connection.answer();
  expect(answer.status).toBe(200);
  expect(recorded.at(-1)).toMatchObject({ id: answer.id, outcome: 'filtered', messageId: 'msg_1' });
  connection.close();
});
