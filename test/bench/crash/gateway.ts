import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endWithUs } from './children.ts';
import { nowUs } from './record.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const START_LIMIT_MS = 60_000;
const TAIL_CHARACTERS = 4_000;
const LOOK_MS = 5;

export interface GatewayOptions {
  /** Told to the upstream with each delivery. */
  readonly name: string;
  readonly config: string;
  readonly adminPort: number;
  /** What stands before `node`, as a tracer; it has to end with it. */
  readonly wrapper?: readonly string[];
  /** A module that is run in it first. */
  readonly preload?: string;
}

/** One process's life, from its start to its kill. */
export interface Crash {
  readonly gateway: string;
  readonly startedUs: number;
  /** The signal was sent at this time or later; the process had ended before the second. Monotonic microseconds. */
  readonly killedUs: number;
  readonly endedUs: number;
  /** When it listened; `undefined`: it had not got so far. */
  readonly listenedUs: number | undefined;
}

/** A gateway that is starting, or has started. */
export interface Gateway {
  readonly name: string;
  readonly adminPort: number;
  /** Resolves once it listens; rejects, with the end of its log, where it does not. */
  readonly ready: Promise<void>;
  /** SIGKILL. Resolves when the process is gone, and its wrapper with it. */
  kill9(): Promise<Crash>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | string>;
}

export function startGateway({ name, config, adminPort, wrapper = [], preload }: GatewayOptions): Gateway {
  const ahead = preload === undefined ? [] : ['--import', preload];
  const node = [process.execPath, ...ahead, MAIN, 'start', '--config', config];
  const [program = '', ...rest] = [...wrapper, ...node];
  const startedUs = nowUs();
  const child = spawn(program, rest, {
    env: { ...process.env, NAME: name, ADMIN_PORT: String(adminPort) },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C is for the bench, which ends its gateways itself.
    detached: true,
  });
  endWithUs(child);
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  const listening = Promise.withResolvers<void>();
  // Whoever kills it before it listens does not wait for that.
  listening.promise.catch(() => undefined);
  const fail = () => listening.reject(new Error(`gateway ${name} does not listen; it said:\n${tail}`));
  const timer = setTimeout(fail, START_LIMIT_MS);
  let tail = '';
  let listenedUs: number | undefined;
  const read = (text: string) => {
    const said = tail + text;
    tail = said.slice(-TAIL_CHARACTERS);
    if (listenedUs !== undefined || !said.includes('"msg":"listening"')) return;
    listenedUs = nowUs();
    clearTimeout(timer);
    listening.resolve();
  };
  child.stdout.setEncoding('utf8').on('data', read);
  child.stderr.setEncoding('utf8').on('data', read);
  void ended.then(() => {
    clearTimeout(timer);
    fail();
  });
  return {
    name,
    adminPort,
    ready: listening.promise,
    async kill9() {
      const pid = wrapper.length === 0 ? (child.pid as number) : await childOf(child);
      const killedUs = nowUs();
      process.kill(pid, 'SIGKILL');
      await ended;
      return { gateway: name, startedUs, killedUs, endedUs: nowUs(), listenedUs };
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null)
        process.kill(wrapper.length === 0 ? (child.pid as number) : await childOf(child), 'SIGTERM');
      return ended;
    },
  };
}

/** The process that a wrapper has started; waits for it to be there. */
async function childOf({ pid }: ChildProcess): Promise<number> {
  for (;;) {
    const [found] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    if (found) return Number(found);
    await pause(LOOK_MS);
  }
}
