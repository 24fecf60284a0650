import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endAll } from '../../support/ending.ts';
import { startRedis } from '../../support/redis.ts';
import { writeCertificates } from '../certificates.ts';
import { findFreePort, startService } from '../spawn.ts';
import { type Gateway, type GatewayOptions, startGateway } from './gateway.ts';
import { type Senders, startSenders } from './senders.ts';

export const DRIVERS = ['sqlite', 'redis'] as const;

export interface ScenePlan {
  readonly driver: (typeof DRIVERS)[number];
  readonly gateways: number;
  readonly senders: number;
  /** How many events each sender begins a second. */
  readonly perSecond: number;
  readonly seed: number;
}

/** Everything around the gateways of one run. */
export interface Scene {
  /** The state file; `undefined`: the state is on Redis. */
  readonly state: string | undefined;
  /** Where the upstream writes down what it takes. */
  readonly record: string;
  readonly folder: string;
  /** Starts the next process of one of the gateways, numbered from 0. */
  start(place: number, how?: Pick<GatewayOptions, 'wrapper' | 'preload'>): Gateway;
  send(): Senders;
  close(): Promise<void>;
}

/** The most deliveries of one process that may be under way, so the most repeats that its crash may cause. */
export const CONCURRENCY = 10;
/** Any core: who is interrupted by whom is to be different each time. */
const CORES = '0-1';

export async function prepareScene(plan: ScenePlan): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-crash-'));
  writeCertificates(folder);
  const record = join(folder, 'taken');
  const state = plan.driver === 'sqlite' ? join(folder, 'postern.db') : undefined;
  // With every write on its disk before its answer.
  const redis = state === undefined ? await startRedis() : undefined;
  const secret = randomBytes(32).toString('base64');
  const [port, upstreamPort, ...adminPorts] = await findFreePorts(2 + plan.gateways);
  const config = join(folder, 'postern.yaml');
  const upstream = await startService({
    name: 'upstream',
    folder,
    core: CORES,
    port: upstreamPort,
    command: [
      process.execPath,
      join(import.meta.dirname, 'upstream.ts'),
      String(upstreamPort),
      record,
      String(plan.seed),
    ],
  });
  // JSON is YAML.
  writeFileSync(
    config,
    JSON.stringify({
      listen: { address: '127.0.0.1', port, reuse_port: plan.gateways > 1 },
      admin: { address: '127.0.0.1', port: `\${ADMIN_PORT}` },
      tls: { certificate: 'server.pem', private_key: 'server.key', client_ca: 'ca.pem' },
      state: { driver: plan.driver, ...(redis === undefined ? { path: state } : { url: redis.url }) },
      upstreams: {
        record: {
          targets: [`http://127.0.0.1:${upstreamPort}`],
          late: '0s',
          headers: { 'x-gateway': `\${NAME}` },
        },
      },
      routes: [
        {
          name: 'events',
          path: '/events',
          sender: 'codat',
          addresses: 'any',
          upstream: 'record',
          deliver: 'queue',
          concurrency: CONCURRENCY,
          retry: { attempts: 1000, schedule: ['50ms'] },
          signature: { secrets: [`whsec_${secret}`] },
        },
      ],
    }),
    { mode: 0o600 },
  );
  let started = 0;
  const gateways: Gateway[] = [];
  return {
    state,
    record,
    folder,
    start(place, how = {}) {
      started += 1;
      const gateway = startGateway({
        name: `${'ab'[place]}${started}`,
        config,
        adminPort: adminPorts[place] as number,
        ...how,
      });
      gateways.push(gateway);
      return gateway;
    },
    send: () =>
      startSenders({
        count: plan.senders,
        perSecond: plan.perSecond,
        url: `https://127.0.0.1:${port}/events`,
        certificates: folder,
        secret,
      }),
    async close() {
      await Promise.all(gateways.map((gateway) => gateway.stop()));
      await upstream.stop();
      await endAll();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** All at once: one after the other, the same could be found twice. */
async function findFreePorts(count: number): Promise<[number, number, ...number[]]> {
  const ports = await Promise.all(Array.from({ length: count }, findFreePort));
  return ports as [number, number, ...number[]];
}
