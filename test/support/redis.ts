import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll } from './ending.ts';
import { unusedPort } from './upstream.ts';
import { waitFor } from './wait.ts';

/** Whether `redis-server` is there. With CI=true it must be; elsewhere its tests are left out, and that is said. */
export function hasRedis(): boolean {
  if (spawnSync('redis-server', ['--version']).status === 0) return true;
  if (process.env.CI === 'true') throw new Error('redis-server is missing: apt-get install redis-server');
  console.warn('redis-server is missing, so its tests are left out: apt-get install redis-server');
  return false;
}

export interface RedisOptions {
  /** Lines of redis.conf. */
  readonly config?: readonly string[];
  /** Files beside it, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Listens with TLS alone, by `server.pem` and `server.key` of `files`. */
  readonly tls?: boolean;
  readonly sentinel?: boolean;
}

/** A real redis-server in a process and a folder of its own. */
export interface RedisServer {
  readonly port: number;
  /** `redis://127.0.0.1:PORT`. */
  readonly url: string;
  readonly folder: string;
  /** A client for the test's own questions. */
  client(): Redis;
  /** SIGKILL, as a crash. */
  kill9(): Promise<void>;
  /** Again, on the same port with the same files. */
  start(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

const stops = new Set<() => Promise<void>>();
afterAll(async () => {
  await Promise.all([...stops].map((stop) => stop()));
});

/** Starts one with every write on disk before its answer, and all that a test wants otherwise. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-redis-'));
  const port = await unusedPort();
  const ports = options.tls
    ? [
        'port 0',
        `tls-port ${port}`,
        'tls-cert-file server.pem',
        'tls-key-file server.key',
        'tls-ca-cert-file ca.pem',
      ]
    : [`port ${port}`];
  const durable = options.sentinel ? [] : ['save ""', 'appendonly yes', 'appendfsync always'];
  const config = [
    `dir ${folder}`,
    'bind 127.0.0.1',
    'daemonize no',
    ...ports,
    ...durable,
    ...(options.config ?? []),
  ];
  for (const [name, text] of Object.entries(options.files ?? {})) await writeFile(join(folder, name), text);
  await writeFile(join(folder, 'redis.conf'), `${config.join('\n')}\n`);
  const clients: Redis[] = [];
  let child: ChildProcess;
  let ended: Promise<unknown>;

  async function start(): Promise<void> {
    const mode = options.sentinel ? ['--sentinel'] : [];
    child = spawn('redis-server', ['redis.conf', ...mode], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const watchers = new Set<() => void>();
    let output = '';
    const took = (text: string) => {
      output += text;
      for (const look of [...watchers]) look();
    };
    child.stdout?.setEncoding('utf8').on('data', took);
    child.stderr?.setEncoding('utf8').on('data', took);
    let alive = true;
    ended = once(child, 'close').then(() => {
      alive = false;
      took('');
    });
    const isUp = options.sentinel ? /\+monitor|Sentinel ID is/ : /Ready to accept connections/;
    const up = await waitFor(
      watchers,
      () => (isUp.test(output) ? true : alive ? undefined : false),
      () => `redis-server does not start:\n${output}`,
    );
    if (!up) throw new Error(`redis-server ended:\n${output}`);
  }

  async function end(): Promise<void> {
    child.kill('SIGKILL');
    await ended;
  }

  await start();
  stops.add(async () => {
    for (const client of clients) client.disconnect();
    await end();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    folder,
    client() {
      const client = new Redis({ port, host: '127.0.0.1' });
      client.on('error', () => undefined);
      clients.push(client);
      return client;
    },
    kill9: end,
    start,
    signal: (name) => child.kill(name),
  };
}
