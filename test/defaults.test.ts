import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { runCommand } from './support/command.ts';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Config, type Gateway, startGateway } from './support/gateway.ts';
import { configText, reload } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const NAMES = Array.from({ length: 60 }, (_, place) => `consumer-${place + 1}`);
const secrets = new Map(NAMES.map((name) => [name, newSecret()]));
const secretOf = (name: string): string => secrets.get(name) as string;
const own = newSecret();

let upstream: Upstream;
let gateway: Gateway;

const defaults = {
  path: `/codat/\${route}`,
  addresses: 'any',
  signature: { secrets: [`\${dir:codat/}`], tolerance: '1h' },
  rate_limit: { rate: '2/h' },
  upstream: 'app',
  upstream_path: `/webhooks/\${route}`,
};
const config = (more: Config = {}): Config => ({
  limits: { event_loop_delay: '10s' },
  upstreams: { app: upstream.url },
  defaults: { ...defaults, ...more },
  routes: [
    ...NAMES.slice(0, 58).map((name) => ({ name })),
    { name: 'consumer-59', without: ['rate_limit', 'upstream_path'] },
    { name: 'consumer-60', path: '/own', rate_limit: { rate: '3/h' }, signature: { secrets: [own] } },
  ],
});

beforeAll(async () => {
  upstream = await startUpstream();
  const files = Object.fromEntries(NAMES.map((name) => [`codat/${name}`, `${secretOf(name)}\n`]));
  gateway = await startGateway(config(), { files });
});

/** An event as the consumer's own sender posts it, some minutes ago. */
const send = (path: string, secret: string, agoS = 0) =>
  post(gateway, {
    path,
    body: '{}',
    sign: { secret, timestampS: Math.floor(Date.now() / 1000) - agoS },
  });

describe('sixty routes of one line each', () => {
  test.each(['consumer-1', 'consumer-10', 'consumer-58'])(
    '%s comes in by its own secret, at its own path',
    async (name) => {
      const path = `/codat/${name}`;
      await expectRefused(
        gateway,
        upstream,
        () => send(path, secretOf('consumer-2')),
        401,
        'signature.mismatch',
      );
      const record = await expectDelivered(gateway, await send(path, secretOf(name), 1800));
      expect([record.route, record.secret]).toEqual([name, 0]);
      expect(upstream.requests.at(-1)?.target).toBe(`/webhooks/${name}`);
    },
  );

  test('a rate of defaults is counted for each route by itself', async () => {
    for (let turn = 0; turn < 2; turn += 1)
      await expectDelivered(gateway, await send('/codat/consumer-3', secretOf('consumer-3')));
    const again = () => send('/codat/consumer-3', secretOf('consumer-3'));
    await expectRefused(gateway, upstream, again, 429, 'rate.exceeded');
    await expectDelivered(gateway, await send('/codat/consumer-4', secretOf('consumer-4')));
  });

  test('are a line each in postern routes', async () => {
    const file = join(gateway.folder, 'postern.yaml');
    const { stdout, exitCode } = await runCommand(['routes', '--config', file]);
    const [head = '', ...lines] = stdout.split('\n\n')[0]?.split('\n') ?? [];
    expect(exitCode).toBe(0);
    expect(head.split(/ {2,}/)).toEqual([
      'route',
      'entrance',
      'from',
      'certificate',
      'signature',
      'rate',
      'goes to',
    ]);
    expect(lines.map((line) => line.split(/ {2,}/)[0])).toEqual(NAMES);
    expect(lines[9]).toMatch(
      /^consumer-10 +\/codat\/consumer-10 +any +any of client_ca +standard-webhooks, 1 secret +2\/h +forward -> app$/,
    );
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThan(160);
  });
});

describe('a route that says otherwise', () => {
  test('gives a key whole: what defaults has in it is not taken along', async () => {
    await expectRefused(gateway, upstream, () => send('/own', own, 1800), 401, 'signature.stale');
    const stranger = () => send('/own', secretOf('consumer-60'));
    await expectRefused(gateway, upstream, stranger, 401, 'signature.mismatch');
  });

  test('leaves keys out by without', async () => {
    for (let turn = 0; turn < 3; turn += 1)
      await expectDelivered(gateway, await send('/codat/consumer-59', secretOf('consumer-59')));
    expect(upstream.requests.at(-1)?.target).toBe('/codat/consumer-59');
  });
});

describe('check --show and /config', () => {
  test('show each route complete, without a secret, and no defaults', async () => {
    const file = join(gateway.folder, 'postern.yaml');
    const { stdout } = await runCommand(['check', '--show', '--config', file]);
    const shown = parse(stdout);
    expect(shown.defaults).toBeUndefined();
    expect(shown.routes[1]).toMatchObject({
      name: 'consumer-2',
      path: '/codat/consumer-2',
      signature: { tolerance: '1h', secrets: [expect.stringMatching(/^<secret: 50 characters, /)] },
      rate_limit: [{ rate: '2/h', burst: 2 }],
      upstream_path: '/webhooks/consumer-2',
    });
    expect(shown.routes[58].rate_limit).toBeUndefined();
    expect(shown.routes[58].without).toBeUndefined();
    for (const secret of secrets.values()) expect(stdout).not.toContain(secret);
    const served = await fetch(`http://127.0.0.1:${gateway.admin?.port}/config`);
    expect(await served.text()).toBe(stdout);
  });
});

test('a change of defaults is one of every route that takes the key', async () => {
  const changed = configText(config({ upstream_path: `/later/\${route}` }));
  await reload(gateway, { 'postern.yaml': changed });
  await expectDelivered(gateway, await send('/codat/consumer-20', secretOf('consumer-20')));
  expect(upstream.requests.at(-1)?.target).toBe('/later/consumer-20');
  await expectDelivered(gateway, await send('/codat/consumer-59', secretOf('consumer-59')));
  expect(upstream.requests.at(-1)?.target).toBe('/codat/consumer-59');
});

test('what nothing uses is told: upstreams, own sender profiles, keys of defaults', async () => {
  await mkdir(join(gateway.folder, 'senders'));
  const profile = readFileSync('config/senders/codat.yaml', 'utf8');
  for (const name of ['used', 'left-over'])
    await writeFile(join(gateway.folder, `senders/${name}.yaml`), profile);
  const file = join(gateway.folder, 'unused.yaml');
  const route = { name: 'one', path: '/one', sender: 'used', body_limit: '1KiB' };
  const config = {
    upstreams: { app: upstream.url, spare: upstream.url },
    defaults: { upstream: 'app', body_limit: '2KiB' },
    routes: [route, { ...route, name: 'two', path: '/two' }],
  };
  await writeFile(file, configText(config));
  const unused = await runCommand(['routes', '--config', file, '--unused', '--json']);
  expect(JSON.parse(unused.stdout)).toEqual({
    upstreams: ['spare'],
    senders: ['left-over'],
    files: [],
    defaults: ['body_limit'],
  });
  expect((await runCommand(['routes', '--config', file])).stdout).toContain(
    'unused:\nupstreams.spare: no route uses it\nsenders/left-over.yaml: no route uses it\ndefaults.body_limit: no route takes it\n',
  );
});

test("the README's example is good, with a secret of its own for each route", async () => {
  const [, example = ''] =
    /## Many consumers\n[\s\S]*?```yaml\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? [];
  const file = join(gateway.folder, 'example.yaml');
  const folder = join(gateway.folder, 'example');
  await mkdir(folder);
  for (const name of ['acme', 'acme.old', 'bolinda', 'initech', 'umbrella'])
    await writeFile(join(folder, name), newSecret(), { mode: 0o600 });
  await writeFile(
    file,
    configText({ upstreams: { ledger: upstream.url } }) + example.replace('/run/secrets/codat', folder),
  );
  const { stdout, exitCode } = await runCommand(['check', '--config', file, '--json']);
  expect([exitCode, JSON.parse(stdout).routes]).toEqual([0, 4]);
  const routes = JSON.parse((await runCommand(['routes', '--config', file, '--json'])).stdout);
  expect(
    routes.map(({ name, path, rate, secrets }: Record<string, unknown[]>) => [
      name,
      path,
      rate,
      secrets?.length,
    ]),
  ).toEqual([
    ['acme', '/codat/acme', '50 per 1 s, burst 50, by route', 2],
    ['bolinda', '/codat/bolinda', '50 per 1 s, burst 50, by route', 1],
    ['initech', '/codat/initech', '500 per 1 s, burst 500, by route', 1],
    ['umbrella', '/codat/umbrella', '-', 1],
  ]);
});
