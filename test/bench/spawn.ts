import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 30_000;

/** The gateways have a core to themselves; the load and the upstream share the other. */
export const GATEWAY_CORE = '0';
export const LOAD_CORE = '1';

/** A process of this bench that listens. */
export interface Service {
  readonly port: number;
  readonly pid: number;
  readonly logFile: string;
  /** Asks it to end and waits; kills it after 30 s. */
  stop(): Promise<void>;
}

export interface ServiceOptions {
  readonly name: string;
  /** Where its files and its log are; its working directory. */
  readonly folder: string;
  readonly core: string;
  readonly port: number;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Starts a program on one core and waits until it listens; what it prints goes to `NAME.log` in its folder.
 * @throws Error with the end of that log where it ends, or does not listen within a minute
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { name, folder, core, port, command, environment } = options;
  const logFile = join(folder, `${name}.log`);
  const log = openSync(logFile, 'a');
  // taskset becomes the program it starts, so the pid is the program's own.
  const child = spawn('taskset', ['-c', core, ...command], {
    stdio: ['ignore', log, log],
    cwd: folder,
    env: { ...process.env, ...environment },
  });
  closeSync(log);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const service = { port, pid: child.pid ?? 0, logFile, stop: () => stop(child, ended) };
  const byMs = performance.now() + START_LIMIT_MS;
  while (!(await isListening(port))) {
    if (child.exitCode !== null || child.pid === undefined || performance.now() > byMs) {
      await service.stop();
      throw new Error(
        `${name} does not listen on port ${port}; it said:\n${readFileSync(logFile, 'utf8').slice(-4000)}`,
      );
    }
    await pause(50);
  }
  return service;
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
