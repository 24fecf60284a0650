import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { defaults } from './ca.ts';
import { afterAll, isTestRun } from './ending.ts';
import { type LogLine, type RequestLine, requestLine } from './log-line.ts';
import { secretsIn } from './secrets.ts';
import { closeAllSenders } from './sender.ts';
import { waitFor } from './wait.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** A gateway that has not ended by now is killed, and the test fails. */
const END_MS = 20_000;

export type Config = Readonly<Record<string, unknown>>;

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Further files beside the configuration, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Start again in the folder of an earlier gateway, so that its state file is found. */
  readonly folder?: string;
  /** What stands behind `node`, for the configuration file; default: the program of this checkout, `start`. */
  readonly command?: (file: string) => readonly string[];
  /** How many files it may have open: `ulimit -n`. */
  readonly openFiles?: number;
  /** A module that is run in it first. */
  readonly preload?: string;
}

/** A running gateway: the real program in a process of its own. */
export interface Gateway {
  readonly address: string;
  readonly port: number;
  readonly admin: { readonly address: string; readonly port: number } | undefined;
  readonly folder: string;
  readonly pid: number;
  /** Every line of standard output that is JSON, in order. */
  readonly lines: readonly LogLine[];
  /** Resolves with the first line that matches, already there or to come; `since` is a count of lines to pass over. */
  line(matches: (line: LogLine) => boolean, since?: number): Promise<LogLine>;
  /** The `msg: "request"` line of one request, by its id or by its fields. */
  record(wanted: string | ((line: RequestLine) => boolean), since?: number): Promise<RequestLine>;
  /** Standard output and standard error, whole. */
  output(): string;
  /** A text that must not occur in the output, checked when the gateway has ended. */
  secret(text: string): void;
  signal(name: NodeJS.Signals): void;
  /** The exit code, once the process has ended by itself. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** SIGTERM; resolves with the exit code. Throws when a secret was logged. */
  stop(): Promise<number | NodeJS.Signals>;
  /** SIGKILL, as a crash. */
  kill9(): Promise<void>;
}

const running = new Set<Gateway>();
const folders = new Set<string>();
afterAll(async () => {
  closeAllSenders();
  try {
    await Promise.all([...running].map((gateway) => gateway.stop()));
  } finally {
    await Promise.all([...folders].map((folder) => rm(folder, { recursive: true, force: true })));
    folders.clear();
  }
});

/** Starts `postern start` with this configuration; resolves once it listens, throws with its output if it ends first. */
export async function startGateway(config: Config | string, options: StartOptions = {}): Promise<Gateway> {
  const folder = await prepareFolder(config, options);
  const started = launch(folder, options);
  const { child, lines, watchers, output } = started;
  let alive = true;
  const exited = once(child, 'close').then(([code, signal]) => {
    alive = false;
    for (const look of [...watchers]) look();
    return (code ?? signal) as number | NodeJS.Signals;
  });
  const isUp = (line: LogLine): boolean => line.msg === 'listening';
  const up = await waitFor(
    watchers,
    () => lines.find(isUp) ?? (alive ? undefined : ({ msg: 'ended' } as LogLine)),
    () => `the gateway does not listen:\n${output()}`,
  );
  if (up.msg === 'ended') throw new Error(`the gateway ended with ${await exited}:\n${output()}`);

  const secrets = new Set(secretsIn(config, options.env ?? {}));
  const end = async (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> => {
    running.delete(gateway);
    if (alive) child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
    const code = await exited;
    clearTimeout(timer);
    assertNoSecret(output(), secrets);
    return code;
  };
  const line = (matches: (line: LogLine) => boolean, since = 0): Promise<LogLine> =>
    waitFor(
      watchers,
      () => lines.find((one, place) => place >= since && matches(one)),
      () => `no such line in the log:\n${output().slice(-4000)}`,
    );
  const gateway: Gateway = {
    address: String(up.address),
    port: Number(up.port),
    admin: up.admin as Gateway['admin'],
    folder,
    pid: child.pid as number,
    lines,
    line,
    async record(wanted, since = 0) {
      const matches = typeof wanted === 'string' ? (one: RequestLine) => one.id === wanted : wanted;
      const found = await line((one) => {
        const request = requestLine(one);
        return request !== undefined && matches(request);
      }, since);
      return requestLine(found) as RequestLine;
    },
    output,
    secret: (text) => secrets.add(text),
    signal: (name) => child.kill(name),
    exited,
    stop: () => end('SIGTERM'),
    async kill9() {
      await end('SIGKILL');
    },
  };
  running.add(gateway);
  return gateway;
}

/** Runs `postern start` with a configuration that must not start; resolves with how it ended and all that it said. */
export async function startAndEnd(
  config: Config | string,
  options: StartOptions = {},
): Promise<{ code: number | NodeJS.Signals; output: string }> {
  const { child, output } = launch(await prepareFolder(config, options), options);
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  return { code: (code ?? signal) as number | NodeJS.Signals, output: output() };
}

async function prepareFolder(config: Config | string, options: StartOptions): Promise<string> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'postern-test-')));
  folders.add(folder);
  const { authority, server } = await defaults();
  const files: Record<string, string> = {
    'server.pem': server.certificate,
    'server.key': server.key,
    'ca.pem': authority.certificate,
    ...options.files,
    'postern.yaml': typeof config === 'string' ? config : stringify(whole(config)),
  };
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text, { mode: 0o600 });
  }
  return folder;
}

/** With what a test leaves out. On a machine that is busy with other tests a gateway would turn requests away by default. */
function whole(config: Config): Config {
  const limits = isTestRun
    ? { event_loop_delay: '5s', ...(config.limits as object | undefined) }
    : config.limits;
  return { ...baseConfig(), ...config, ...(limits === undefined ? {} : { limits }) };
}

/** What a test's configuration says unless it says otherwise. */
export function baseConfig(): Config {
  return {
    listen: { address: '127.0.0.1', port: 0 },
    admin: { address: '127.0.0.1', port: 0 },
    tls: baseTls(),
    state: { driver: 'memory' },
  };
}

/** The `tls` section over the files that every test folder has. */
export function baseTls(): Record<string, unknown> {
  return { certificate: 'server.pem', private_key: 'server.key', client_ca: 'ca.pem' };
}

interface Launched {
  readonly child: ChildProcess;
  readonly lines: LogLine[];
  readonly watchers: Set<() => void>;
  readonly output: () => string;
}

function launch(folder: string, options: StartOptions): Launched {
  const { openFiles, preload, command: behind = (file) => [MAIN, 'start', '--config', file] } = options;
  const ahead = preload === undefined ? [] : ['--import', preload];
  const node = [process.execPath, ...ahead, ...behind(join(folder, 'postern.yaml'))];
  const command =
    openFiles === undefined ? node : ['bash', '-c', `ulimit -n ${openFiles}; exec "$@"`, 'bash', ...node];
  const child = spawn(command[0] as string, command.slice(1), {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A program of its own hears Ctrl-C itself, and ends its gateways when it is done with them.
    detached: !isTestRun,
  });
  const lines: LogLine[] = [];
  const watchers = new Set<() => void>();
  let output = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) if (part.startsWith('{')) lines.push(JSON.parse(part) as LogLine);
    for (const look of [...watchers]) look();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return { child, lines, watchers, output: () => output };
}

function assertNoSecret(output: string, secrets: ReadonlySet<string>): void {
  for (const secret of secrets) {
    const escaped = JSON.stringify(secret).slice(1, -1);
    if (output.includes(secret) || output.includes(escaped))
      throw new Error(`the log holds a secret: ${secret}`);
  }
}
