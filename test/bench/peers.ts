import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const HERE = import.meta.dirname;
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const START_LIMIT_MS = 15_000;
const STOP_LIMIT_MS = 30_000;

/** The gateways have a core to themselves; the load and the upstream share the other. */
export const GATEWAY_CORE = '0';
export const LOAD_CORE = '1';

export type PeerName = 'haproxy' | 'postern';

/** A process of this bench that listens. */
export interface Peer {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  readonly logFile: string;
  /** Asks it to end and waits; kills it after 30 s. */
  stop(): Promise<void>;
}

/** What the configuration templates are filled with: each `${NAME}` by the value of that name. */
export type Fillings = Readonly<Record<string, string>>;

/** Says whether a program is installed. */
export function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$1"', 'sh', program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Starts the service behind every gateway, on the load's core. */
export function startUpstream(run: string, port: number): Promise<Peer> {
  const config = fill('upstream.conf', run, { RUN: run, UPSTREAM: String(port) });
  return start('upstream', run, LOAD_CORE, port, ['nginx', '-p', run, '-e', 'stderr', '-c', config]);
}

/** Starts a gateway on its core. `nodeOptions` go to Postern's runtime, before the script. */
export async function startGateway(
  name: PeerName,
  run: string,
  fillings: Fillings,
  nodeOptions: readonly string[] = [],
): Promise<Peer> {
  const port = await findFreePort();
  const all = { ...fillings, RUN: run, PORT: String(port), ADMIN: String(await findFreePort()) };
  if (name === 'haproxy') {
    return start(name, run, GATEWAY_CORE, port, ['haproxy', '-db', '-f', fill('haproxy.cfg', run, all)]);
  }
  const config = fill('postern.yaml', run, all);
  return start(name, run, GATEWAY_CORE, port, [
    process.execPath,
    ...nodeOptions,
    MAIN,
    'start',
    '--config',
    config,
  ]);
}

/** A TCP port that nobody listens on at this moment. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

function fill(template: string, run: string, fillings: Fillings): string {
  const text = readFileSync(join(HERE, 'peers', template), 'utf8');
  const filled = text.replace(/\$\{([A-Z]+)\}/g, (mark, name: string) => fillings[name] ?? mark);
  const file = join(run, template);
  writeFileSync(file, filled, { mode: 0o600 });
  return file;
}

async function start(
  name: string,
  run: string,
  core: string,
  port: number,
  command: readonly string[],
): Promise<Peer> {
  const logFile = join(run, `${name}.log`);
  const log = openSync(logFile, 'a');
  // taskset becomes the program it starts, so the pid is the gateway's own.
  const child = spawn('taskset', ['-c', core, ...command], { stdio: ['ignore', log, log], cwd: run });
  closeSync(log);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const peer: Peer = { name, port, pid: child.pid ?? 0, logFile, stop: () => stop(child, ended) };
  const byMs = performance.now() + START_LIMIT_MS;
  while (!(await isListening(port))) {
    if (child.exitCode !== null || child.pid === undefined || performance.now() > byMs) {
      await peer.stop();
      throw new Error(
        `${name} does not listen on port ${port}; it said:\n${readFileSync(logFile, 'utf8').slice(-4000)}`,
      );
    }
    await pause(50);
  }
  return peer;
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await ended;
  clearTimeout(killer);
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
