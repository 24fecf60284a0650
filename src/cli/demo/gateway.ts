import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CliError } from '../exit.ts';

/** What the demo reads of one line of the gateway's log. */
export interface LogRecord {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly outcome: string;
  readonly reason: string | undefined;
}

/** A gateway that runs as a process of its own, as it would in production. */
export interface RunningGateway {
  readonly port: number;
  readonly adminPort: number;
  /** Resolves once the gateway has logged the request of this id; `undefined` when it does not within 5 s. */
  record(id: string): Promise<LogRecord | undefined>;
  /** Calls `listener` for every further request. */
  follow(listener: (record: LogRecord) => void): void;
  /** Resolves with the exit code when the process has ended, for whatever reason. */
  readonly ended: Promise<number | undefined>;
  /** Ends it as an operator would, and at once if that takes more than 5 s. */
  stop(): Promise<void>;
  /** Ends it at once. */
  kill(): void;
}

const START_MS = 30_000;
const STOP_MS = 5_000;
const RECORD_MS = 5_000;
const MAX_STDERR = 64 * 1024;

/** The file that runs `postern`, whether this is src/ (.ts) or dist/ (.js). */
export const MAIN_FILE = fileURLToPath(new URL(`../../main${extname(import.meta.url)}`, import.meta.url));

/**
 * Starts `postern start` with a configuration and waits until it accepts connections.
 * @throws CliError with what the gateway printed, where it does not start
 */
export async function startGateway(
  configFile: string,
  env: NodeJS.ProcessEnv,
  interrupted: AbortSignal,
): Promise<RunningGateway> {
  const child = spawn(process.execPath, [MAIN_FILE, 'start', '--config', configFile], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | undefined>((resolve) => {
    child.once('close', (code) => resolve(code ?? undefined));
    child.once('error', () => resolve(undefined));
  });
  const lines = new EventEmitter<{ listening: [Ports]; request: [LogRecord] }>();
  const records = new Map<string, LogRecord>();
  lines.on('request', (record) => records.set(record.id, record));
  createInterface({ input: child.stdout }).on('line', (line) => readLine(line, lines));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < MAX_STDERR) stderr += text;
  });

  const signal = AbortSignal.any([interrupted, AbortSignal.timeout(START_MS)]);
  const listening = once(lines, 'listening', { signal }).then(
    ([ports]: Ports[]) => ports,
    () => undefined,
  );
  const started = await Promise.race([listening, ended.then(() => undefined)]);
  if (!started) {
    child.kill('SIGKILL');
    await ended;
    if (interrupted.aborted) throw new CliError('The demo was interrupted.');
    throw new CliError(`The gateway did not start:\n${stderr.trim() || 'it printed nothing'}`);
  }
  return {
    ...started,
    ended,
    record: async (id) => {
      const signal = AbortSignal.timeout(RECORD_MS);
      while (!records.has(id) && !signal.aborted)
        await once(lines, 'request', { signal }).catch(() => undefined);
      return records.get(id);
    },
    follow: (listener) => void lines.on('request', listener),
    stop: () => stop(child, ended),
    kill: () => void child.kill('SIGKILL'),
  };
}

interface Ports {
  readonly port: number;
  readonly adminPort: number;
}

function readLine(line: string, lines: EventEmitter<{ listening: [Ports]; request: [LogRecord] }>): void {
  let entry: { msg?: string; port?: number; admin?: { port?: number } } & Partial<LogRecord>;
  try {
    entry = JSON.parse(line);
  } catch {
    return;
  }
  if (entry.msg === 'listening') {
    lines.emit('listening', { port: entry.port ?? 0, adminPort: entry.admin?.port ?? 0 });
  } else if (entry.msg === 'request') {
    const { id = '', method = '-', path = '-', status = 0, outcome = '-', reason } = entry;
    lines.emit('request', { id, method, path, status, outcome, reason });
  }
}

async function stop(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  child.kill('SIGTERM');
  const lateKill = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(lateKill);
}
