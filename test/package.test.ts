import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
/** npm with the Node that runs this test found first, as npm's own scripts do it. */
const env = {
  ...process.env,
  PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
  npm_config_offline: '',
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-package-'));
  await run('npm', ['pack', '--silent', '--pack-destination', folder], { env });
  const [tarball] = await readdir(folder);
  await writeFile(join(folder, 'package.json'), '{"private": true}');
  await run('npm', ['install', '--silent', '--no-audit', '--no-fund', `./${tarball}`], { cwd: folder, env });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const postern = (...args: string[]) =>
  run(join(folder, 'node_modules/.bin/postern'), args, { cwd: folder, env });

test('the packed program runs where it was installed', async () => {
  const { stdout } = await postern('--help');
  for (const command of ['start', 'check', 'routes', 'certs', 'send', 'probe', 'demo'])
    expect(stdout).toContain(command);
});

test('the packed program makes certificates and finds its sender profiles', async () => {
  await postern('certs', '--out', 'certs');
  await writeFile(
    join(folder, 'postern.yaml'),
    [
      'tls: { certificate: certs/server.pem, private_key: certs/server.key, client_ca: certs/ca.pem }',
      'upstreams: { app: "http://127.0.0.1:9" }',
      'routes: [{ name: events, path: /events, sender: codat, upstream: app }]',
    ].join('\n'),
  );
  const { stdout } = await postern('routes', '--config', 'postern.yaml', '--json');
  expect(JSON.parse(stdout)).toMatchObject([{ name: 'events', sender: 'codat', methods: 'POST,PUT' }]);
});

test('the packed demo ends as expected', async () => {
  const { stdout } = await postern('demo', '--once');
  expect(stdout).toMatch(/(\d+) events sent, \1 as expected, 0 not\./);
});

test('the package holds what runs and nothing else', async () => {
  const files = await readdir(join(folder, 'node_modules/postern'));
  expect(files.sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'config', 'dist', 'package.json']);
});
