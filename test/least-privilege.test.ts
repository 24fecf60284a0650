import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaults } from './support/ca.ts';
import { expectDelivered, expectDuplicate } from './support/expect.ts';
import { type Gateway, startAndEnd, startGateway } from './support/gateway.ts';
import { buildImage, type Image, lastOf } from './support/image.ts';
import { configOf, optionsOf, type Place, placeOfImage, placeOfUnit } from './support/place.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { headersOf, startUpstream, type Upstream } from './support/upstream.ts';

const run = promisify(execFile);
const secret = newSecret();
const TOKEN = 'a-token-from-a-file-of-its-own';

let top: string;
let image: Image;
const places: { image?: Place; unit?: Place } = {};
const upstreams: Upstream[] = [];

beforeAll(async () => {
  top = mkdtempSync(join(tmpdir(), 'postern-least-'));
  const { server } = await defaults();
  upstreams.push(
    await startUpstream(),
    await startUpstream({ tls: { key: server.key, cert: server.certificate } }),
    await startUpstream({ socketPath: join(top, 'app.sock') }),
  );
  image = await buildImage();
  places.image = placeOfImage(image);
  places.unit = placeOfUnit(image, top);
}, 120_000);
afterAll(() => {
  image.remove();
  rmSync(top, { recursive: true, force: true });
});

const placeOf = (name: 'image' | 'unit'): Place => places[name] as Place;

const config = (place: Place) =>
  configOf(
    place,
    upstreams.map(({ url }) => url),
    secret,
  );
/** Has Node load a script of ours first, from a folder that it may read. */
function preloaded(place: Place, script: string): Record<string, string> {
  const file = join(place.config, script);
  cpSync(fileURLToPath(new URL(`./support/${script}`, import.meta.url)), file);
  return { NODE_OPTIONS: `--import=${file}`, PROBE_CONFIG: place.config, PROBE_DATA: place.data };
}

const send = (gateway: Gateway, path: string, more: object = {}) =>
  post(gateway, {
    path,
    body: '{"eventType":"a"}',
    headers: [['Authorization', `Bearer ${TOKEN}`]],
    ...more,
  });

interface Probe {
  readonly results: Readonly<Record<string, string>>;
}

const DENIED = [
  'read a file',
  'read it later',
  'read it by a longer way',
  'read it through /proc',
  'read it by a link',
  'list a folder',
  'read the environment of the process',
  'start a process',
  'start a worker without flags',
  'call a library',
  'run WASI',
  'open the inspector',
  'write into the configuration',
  'write into the program',
];
const OTHERS = { 'load an addon': 'ERR_DLOPEN_DISABLED', 'write into the data': 'done' };

describe.each(['image', 'unit'] as const)('under the flags of the %s', (name) => {
  test('the gateway serves, by every kind of upstream, and remembers in SQLite', async () => {
    const place = placeOf(name);
    for (const { requests } of upstreams) requests.splice(0);
    const first = await startGateway(config(place), await optionsOf(place, TOKEN));
    const sign = { secret, id: 'msg_1' };
    await expectDelivered(first, await send(first, '/address', { sign }));
    for (const path of ['/name', '/tls', '/socket']) await expectDelivered(first, await send(first, path));
    await expectDuplicate(first, await send(first, '/address', { sign }));
    await first.kill9();
    const second = await startGateway(config(place), await optionsOf(place, TOKEN));
    await expectDuplicate(second, await send(second, '/address', { sign }));
    expect(upstreams.map(({ requests }) => requests.length)).toEqual([2, 1, 1]);
    const [attested] = upstreams[0]?.requests ?? [];
    expect(attested && headersOf(attested, 'x-postern-attestation')).toHaveLength(1);

    const metrics = await (await fetch(`http://127.0.0.1:${second.admin?.port}/metrics`)).text();
    for (const of of ['open_fds', 'max_fds', 'resident_memory_bytes'])
      expect(metrics).toMatch(new RegExp(`^process_${of} [1-9]`, 'm'));

    writeFileSync(join(place.secrets, 'token'), `${TOKEN}-renewed`);
    second.secret(`${TOKEN}-renewed`);
    second.signal('SIGHUP');
    await second.line(({ msg }) => msg === 'configuration reloaded');
    expect((await send(second, '/name')).status).toBe(401);
    expect(await second.stop()).toBe(0);
  });

  test('code in the middle of a request reaches nothing but program, configuration and data', async () => {
    const place = placeOf(name);
    const env = preloaded(place, 'probe.ts');
    const gateway = await startGateway(config(place), await optionsOf(place, TOKEN, { env }));
    await expectDelivered(gateway, await send(gateway, '/address', { sign: { secret } }));
    const { results } = (await gateway.line(({ msg }) => msg === 'probe')) as unknown as Probe;
    expect(new Set(Object.keys(results))).toEqual(new Set([...DENIED, ...Object.keys(OTHERS)]));
    for (const attempt of DENIED) expect([attempt, results[attempt]]).toEqual([attempt, 'ERR_ACCESS_DENIED']);
    expect(results).toMatchObject(OTHERS);
    expect(await gateway.stop()).toBe(0);
  });

  test.each([
    ['check', /: good, 4 routes/],
    ['routes', /\/socket/],
  ])('postern %s works as well', async (command, output) => {
    const place = placeOf(name);
    const words = [...place.words.slice(0, -3), command, '--config'];
    const { stdout } = await run(process.execPath, [...words, join(place.config, 'postern.yaml')]);
    expect(stdout).toMatch(output);
  });
});

test('where the configuration file alone may be read, the profiles that come with the program are found', async () => {
  const { words, config: folder } = placeOf('image');
  const file = join(folder, 'postern.yaml');
  const alone = words.map((word) => (word === `--allow-fs-read=${folder}` ? `${word}/postern.yaml` : word));
  const { stdout } = await run(process.execPath, [...alone.slice(0, -3), 'check', '--config', file]);
  expect(stdout).toMatch(/: good, 4 routes/);
});

test('the same code without the flags reads, starts and writes what it likes', async () => {
  const place = placeOf('image');
  const words = place.words.filter((word) => !/^--(?:permission|allow-)/.test(word));
  const env = preloaded(place, 'probe.ts');
  const gateway = await startGateway(
    config(place),
    await optionsOf(place, TOKEN, { env, command: () => words }),
  );
  await expectDelivered(gateway, await send(gateway, '/address', { sign: { secret } }));
  const { results } = (await gateway.line(({ msg }) => msg === 'probe')) as unknown as Probe;
  const done = DENIED.filter((attempt) => results[attempt] === 'done');
  expect(done).toEqual(DENIED);
  // It was tried: there is no such file.
  expect(results['load an addon']).toBe('ERR_DLOPEN_FAILED');
  expect(await gateway.stop()).toBe(0);
});

test('with --allow-worker a worker would read what the flags keep from the process', () => {
  const script = join(placeOf('image').config, 'worker.cjs');
  writeFileSync(
    script,
    `const { Worker } = require('node:worker_threads');
     const code = "console.log(require('node:fs').readFileSync('/etc/passwd', 'utf8').length > 0)";
     new Worker(code, { eval: true, execArgv: [] });`,
  );
  const flags = placeOf('image').words.filter((word) => word.startsWith('--') && word !== '--config');
  const read = (...more: string[]) =>
    spawnSync(process.execPath, [...flags, ...more, script], { encoding: 'utf8' });
  expect(read('--allow-worker').stdout).toBe('true\n');
  expect(read().stderr).toContain('ERR_ACCESS_DENIED');
});

describe('a configuration that names what the flags do not show says so, and ends the start with 78', () => {
  const READ = "Node's permission flags do not allow it; start with --allow-fs-read for its folder";

  test.each([
    [
      'a secret file',
      { admin: { address: '127.0.0.1', port: 0, token: `\${file:/etc/passwd}` } },
      `postern\\.yaml:\\d+:\\d+ admin\\.token: cannot read /etc/passwd: ${READ}\n$`,
    ],
    [
      'a certificate',
      { tls: { certificate: '/etc/passwd', client_ca: '/etc/passwd' } },
      `tls\\.certificate: cannot read /etc/passwd: ${READ}`,
    ],
    [
      'a log file',
      { log: { destination: '/nowhere/postern.log' } },
      'log\\.destination: cannot write /nowhere/postern\\.log: .* --allow-fs-write ',
    ],
    [
      'a state file',
      { state: { driver: 'sqlite', path: '/nowhere/postern.db' } },
      'state: /nowhere/postern\\.db: .* --allow-fs-write ',
    ],
  ])('%s', async (_what, more, sentence) => {
    const place = placeOf('image');
    const { code, output } = await startAndEnd({ ...config(place), ...more }, await optionsOf(place, TOKEN));
    expect(output).toMatch(new RegExp(sentence));
    expect(output).not.toMatch(/^\s+at /m);
    expect(code).toBe(78);
  });

  test('a configuration file elsewhere', async () => {
    const words = [...placeOf('image').words.slice(0, -1), '/etc/postern.yaml'];
    const { code, output } = await startAndEnd({}, { command: () => words });
    expect([code, output]).toEqual([78, `/etc/postern.yaml:1:1 cannot read /etc/postern.yaml: ${READ}\n`]);
  });
});

test("the image's health check tells a gateway that lives from none, under flags of its own", async () => {
  const place = placeOf('image');
  const [, health = ''] = lastOf('HEALTHCHECK').split('CMD ');
  expect(health).toContain('"--permission"');
  const gateway = await startGateway(config(place), await optionsOf(place, TOKEN));
  const words = image
    .words(health)
    .map((word) => word.replace('127.0.0.1:9901', `127.0.0.1:${gateway.admin?.port}`));
  await expect(run(process.execPath, words)).resolves.toEqual({ stdout: '', stderr: '' });
  expect(await gateway.stop()).toBe(0);
  await expect(run(process.execPath, words)).rejects.toMatchObject({ code: 1, stderr: '' });
});

test('a log file in the data folder is written, and opened again at SIGHUP', async () => {
  const place = placeOf('image');
  const file = join(place.data, 'log/postern.log');
  const env = { ...preloaded(place, 'rotate.ts'), ROTATE_LOG: file };
  const logging = { ...config(place), log: { destination: relative(place.config, file) } };
  const ended = await startAndEnd(logging, await optionsOf(place, TOKEN, { env }));
  expect(ended).toEqual({ code: 0, output: '' });
  expect(readFileSync(`${file}.1`, 'utf8')).toContain('"msg":"listening"');
  expect(readFileSync(file, 'utf8')).toContain('"msg":"stopped"');
});
