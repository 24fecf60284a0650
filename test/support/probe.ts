/**
 * Loaded before the gateway (`--import`), it does what code that got into the gateway would do: in the middle of the
 * first request whose credential or signature is compared. Prints one line, `msg: "probe"`, with what came of each
 * attempt: `done`, or the code of its error.
 */
import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Session } from 'node:inspector';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

const PASSWD = '/etc/passwd';
const { PROBE_DATA: data = '', PROBE_CONFIG: config = '' } = process.env;

const attempts: Readonly<Record<string, () => unknown>> = {
  'read a file': () => readFileSync(PASSWD),
  'read it later': () => readFile(PASSWD),
  'read it by a longer way': () => readFileSync(`${config}/../../../../../../../../..${PASSWD}`),
  'read it through /proc': () => readFileSync(`/proc/self/root${PASSWD}`),
  'read it by a link': () => {
    symlinkSync(PASSWD, join(data, 'link'));
    return readFileSync(join(data, 'link'));
  },
  'list a folder': () => readdirSync('/etc'),
  'read the environment of the process': () => readFileSync('/proc/self/environ'),
  'start a process': () => {
    const { error } = spawnSync('cat', [PASSWD]);
    if (error !== undefined) throw error;
  },
  'start a worker without flags': () =>
    new Promise((resolve, reject) => {
      const code = `require('node:fs').readFileSync(${JSON.stringify(PASSWD)})`;
      const worker = new Worker(code, { eval: true, execArgv: [], env: {} });
      worker.once('error', reject).once('exit', resolve);
    }),
  'load an addon': () => process.dlopen({ exports: {} }, join(data, 'no-such.node')),
  'call a library': async () => {
    const ffi = (await import(String('node:ffi'))) as { dlopen(name: string, functions: object): unknown };
    return ffi.dlopen('libc.so.6', {});
  },
  'run WASI': async () => {
    const { WASI } = await import('node:wasi');
    return new WASI({ version: 'preview1', preopens: { '/': '/etc' } });
  },
  'open the inspector': () => {
    const session = new Session();
    session.connect();
    session.disconnect();
  },
  'write into the configuration': () => writeFileSync(join(config, 'written'), ''),
  'write into the program': () => appendFileSync(process.argv[1] as string, ''),
  'write into the data': () => writeFileSync(join(data, 'written'), ''),
};

async function probe(): Promise<void> {
  const results: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
      results[name] = 'done';
    } catch (error) {
      results[name] = String((error as NodeJS.ErrnoException).code);
    }
  }
  process.stdout.write(`${JSON.stringify({ msg: 'probe', results })}\n`);
}

const { timingSafeEqual } = crypto;
let probed = false;
crypto.timingSafeEqual = (...given) => {
  if (!probed) void probe();
  probed = true;
  return timingSafeEqual(...given);
};
syncBuiltinESMExports();
