import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Ground } from '../ground.ts';
import { hasProgram } from '../peers.ts';
import { findFreePort, GATEWAY_CORE, LOAD_CORE, type Service, startService } from '../spawn.ts';
import type { LoadKind } from '../trial.ts';

/** One that says yes to events, and what is measured of it. */
export interface Subject {
  readonly title: string;
  readonly port: number;
  readonly pid: number;
  /** `undefined`: it is no gateway. */
  readonly adminPort: number | undefined;
  readonly kind: LoadKind;
  /** The answer to an event. */
  readonly status: number;
  /** Whether what it took is delivered meanwhile; what that costs is counted too. */
  readonly delivers: boolean;
}

/** The part of Postern's configuration that differs. */
interface Configuration {
  state: object;
  limits: Record<string, string>;
  upstreams: Record<string, unknown>;
  routes: Record<string, unknown>[];
}

/** The subjects of a run and what has to be stopped beside the ground's own. */
export interface Opened {
  readonly subjects: readonly Subject[];
  close(): Promise<void>;
}

const SQLITE = { driver: 'sqlite', path: 'postern.db' };
const MEMORY = { driver: 'memory' };
/** As many as the load has connections. */
const CONCURRENCY = 64;

/** Starts them all; each waits for its turn. */
export async function openSubjects(ground: Ground): Promise<Opened> {
  const services: Service[] = [];
  const silence = await open('silence', LOAD_CORE, (port) => [
    process.execPath,
    join(import.meta.dirname, '../load/silence.ts'),
    String(port),
  ]);

  async function open(name: string, core: string, command: (port: number) => readonly string[]) {
    const port = await findFreePort();
    const folder = mkdtempSync(join(ground.folder, `${name}-`));
    const service = await startService({ name, folder, core, port, command: command(port) });
    services.push(service);
    return service;
  }

  async function postern(title: string, state: object, route: Record<string, unknown>): Promise<Subject> {
    const adminPort = await findFreePort();
    const isQueue = route.deliver === 'queue';
    const peer = await ground.open('postern', {
      isQueue,
      fillings: { ADMIN: String(adminPort) },
      configure: (yaml) => {
        const configuration = parse(yaml) as Configuration;
        configuration.state = state;
        configuration.limits.drain_timeout = '1s';
        configuration.upstreams.silence = {
          targets: [`http://127.0.0.1:${silence.port}`],
          timeout: '1h',
          late: '0s',
        };
        Object.assign(configuration.routes[0] as object, route);
        // JSON is YAML.
        return JSON.stringify(configuration);
      },
    });
    const delivers = isQueue && route.upstream === undefined;
    return { ...peer, title, adminPort, kind: 'events', status: isQueue ? 202 : 200, delivers };
  }

  const held = { deliver: 'queue', upstream: 'silence', concurrency: 1 };
  const delivered = { deliver: 'queue', concurrency: CONCURRENCY };
  const subjects = [
    await postern('Postern, queue on SQLite: accepting', SQLITE, held),
    await postern('Postern, queue on SQLite: accepting and delivering', SQLITE, delivered),
    await postern('Postern, queue in memory: accepting', MEMORY, held),
    await postern('Postern, queue in memory: accepting and delivering', MEMORY, delivered),
    await postern('Postern, forward, claims on SQLite', SQLITE, { deliver: 'forward' }),
  ];
  if (hasProgram('redis-server')) {
    // What the gateway does is measured: its Redis is elsewhere.
    const server = await open('redis', LOAD_CORE, redis);
    const state = { driver: 'redis', url: `redis://127.0.0.1:${server.port}` };
    subjects.push(
      await postern('Postern, queue on Redis: accepting', { ...state, prefix: 'held' }, held),
      await postern('Postern, queue on Redis: accepting and delivering', state, delivered),
    );
    const alone = await open('redis', GATEWAY_CORE, redis);
    const rest = { adminPort: undefined, kind: 'redis', status: 202, delivers: false } as const;
    subjects.push({ title: 'Redis alone, LPUSH of the same bytes', ...alone, ...rest });
  } else console.error('going on without Redis: apt-get install redis-server');
  return {
    subjects,
    close: async () => {
      for (const service of services.reverse()) await service.stop();
    },
  };
}

function redis(port: number): readonly string[] {
  const durable = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always'];
  return ['redis-server', '--bind', '127.0.0.1', '--port', String(port), ...durable];
}
