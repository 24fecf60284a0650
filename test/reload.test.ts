import { mkdir, mkdtemp, rename, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { defaults } from './support/ca.ts';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { baseTls, type Config, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { metricOf } from './support/metrics.ts';
import { readiness } from './support/readiness.ts';
import { configText, reload, replaceFile, untilRefused, untilReloaded } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream();
});

const open = { addresses: 'any', upstream: 'app' };
const route = (name: string, more: Config = {}) => ({ name, path: `/${name}`, ...open, ...more });
const config = (routes: Config[], more: Config = {}): Config => ({
  upstreams: { app: upstream.url },
  routes,
  ...more,
});

describe('SIGHUP takes the configuration as it is now', () => {
  test('a route that comes is served, one that goes is 404, and what was the same stays', async () => {
    const gateway = await startGateway(config([route('old'), route('both')]));
    const kept = await connect(gateway);
    await expectRefused(gateway, upstream, () => post(gateway, { path: '/new' }), 404, 'route.not_found');
    const line = await reload(gateway, { 'postern.yaml': configText(config([route('both'), route('new')])) });
    expect(line).toMatchObject({ cause: 'SIGHUP', routes: 2, closed_connections: 0, needs_restart: [] });
    await expectDelivered(gateway, await post(gateway, { path: '/new', on: kept, body: 'x' }));
    await expectDelivered(gateway, await post(gateway, { path: '/both', on: kept, body: 'x' }));
    await expectRefused(
      gateway,
      upstream,
      () => post(gateway, { path: '/old', on: kept }),
      404,
      'route.not_found',
    );
    expect(await metricOf(gateway, 'postern_config_reloads_total', { result: 'taken' })).toBe(1);
  });

  test('limits hold from then on, also on connections that were open before', async () => {
    const gateway = await startGateway(config([route('a')]));
    const kept = await connect(gateway);
    await expectDelivered(gateway, await post(gateway, { path: '/a', on: kept, body: 'x'.repeat(100) }));
    await reload(gateway, { 'postern.yaml': configText(config([route('a')], { limits: { body: '99B' } })) });
    await expectRefused(
      gateway,
      upstream,
      () => post(gateway, { path: '/a', on: kept, body: 'x'.repeat(100) }),
      413,
      'body.too_large',
    );
  });

  test('the address, the port and the state file stay: each is named, and the rest is taken', async () => {
    const gateway = await startGateway(config([route('a')]));
    const changed = config([route('b')], {
      listen: { address: '127.0.0.2', port: 1 },
      admin: { address: '127.0.0.1', port: 1 },
      state: { driver: 'sqlite', path: 'other.db' },
      log: { destination: 'other.log' },
    });
    const line = await reload(gateway, { 'postern.yaml': configText(changed) });
    const keys = ['listen.address', 'listen.port', 'admin', 'state', 'log.destination'];
    expect(line.needs_restart).toEqual(keys);
    const told = gateway.lines.filter(({ msg }) => String(msg).includes('only after a restart'));
    expect(told.map(({ level, key }) => [level, key])).toEqual(keys.map((key) => ['warn', key]));
    await expectDelivered(gateway, await post(gateway, { path: '/b', body: 'x' }));
    expect(await readiness(gateway)).toBe(200);
  });

  test('a rate limit that did not change goes on counting; one that did begins anew', async () => {
    const limited = (burst: number) =>
      config([route('a', { rate_limit: { rate: '1/h', burst } })], { log: { level: 'debug' } });
    const gateway = await startGateway(limited(1));
    await expectDelivered(gateway, await post(gateway, { path: '/a', body: 'x' }));
    await reload(gateway, {});
    await expectRefused(gateway, upstream, () => post(gateway, { path: '/a' }), 429, 'rate.exceeded');
    await reload(gateway, { 'postern.yaml': configText(limited(2)) });
    await expectDelivered(gateway, await post(gateway, { path: '/a', body: 'x' }));
  });

  test('what is under way goes on as it began: at the old upstream, and its copy is a duplicate', async () => {
    const secret = newSecret();
    const other = await startUpstream();
    const signed = (url: string): Config => ({
      upstreams: { app: url },
      routes: [route('a', { signature: { secrets: [secret] } })],
    });
    const old = await startUpstream();
    const gateway = await startGateway(signed(old.url));
    const { arrived, release } = holdAnswers(old);
    const sign = { secret, id: 'msg_under_way' };
    const first = post(gateway, { path: '/a', body: 'event', sign });
    await arrived;
    await reload(gateway, { 'postern.yaml': configText(signed(other.url)) });
    await expectDelivered(gateway, await post(gateway, { path: '/a', body: 'next', sign: { secret } }));
    expect(other.requests.map(({ body }) => body.toString())).toEqual(['next']);
    release();
    await expectDelivered(gateway, await first);
    await expectDuplicate(gateway, await post(gateway, { path: '/a', body: 'event', sign }));
    expect(old.requests).toHaveLength(1);
    expect(other.requests).toHaveLength(1);
  });

  test('an answer that flows is not cut off when its upstream is gone from the configuration', async () => {
    const large = Buffer.alloc(4 * 1024 * 1024, 'a');
    const old = await startUpstream({ answer: (_request, response) => response.end(large) });
    const gateway = await startGateway({ upstreams: { app: old.url }, routes: [route('a')] });
    const connection = await connect(gateway);
    connection.socket.pause();
    connection.send(requestBytes({ path: '/a' }));
    await old.request(() => true);
    await reload(gateway, { 'postern.yaml': configText(config([route('a')])) });
    // It looks for changed files as often as it looks whether the old upstream is still needed.
    for (const name of ['b', 'c']) {
      const next = configText(config([route('a'), route(name)]));
      await untilReloaded(gateway, () => replaceFile(gateway, 'postern.yaml', next));
    }
    connection.socket.resume();
    const answer = await connection.answer();
    expect(answer.body.length).toBe(large.length);
    await expectDelivered(gateway, answer);
  });
});

describe('a mistake keeps the old configuration whole', () => {
  test('every error is logged, the metric says so, /readyz stays good, and the next right one is taken', async () => {
    const gateway = await startGateway(config([route('a')]));
    const routes = [{ ...route('b'), upstream: 'nobody' }];
    const wrong = `nonsense: 1\n${configText(config(routes))}`;
    const problems = await untilRefused(gateway, async () => {
      await replaceFile(gateway, 'postern.yaml', wrong);
      gateway.signal('SIGHUP');
    });
    expect(problems).toHaveLength(2);
    expect(problems[0]).toMatch(/postern\.yaml:1:1 nonsense: unknown key "nonsense"/);
    expect(problems[1]).toMatch(/routes\[0\]\.upstream: there is no upstream "nobody"; the only one is app$/);
    expect(await metricOf(gateway, 'postern_config_reload_failed')).toBe(1);
    expect(await metricOf(gateway, 'postern_config_reloads_total', { result: 'refused' })).toBe(1);
    expect(await readiness(gateway)).toBe(200);
    await expectDelivered(gateway, await post(gateway, { path: '/a', body: 'x' }));
    await expectRefused(gateway, upstream, () => post(gateway, { path: '/b' }), 404, 'route.not_found');

    await untilReloaded(gateway, () =>
      replaceFile(gateway, 'postern.yaml', configText(config([route('b')]))),
    );
    expect(await metricOf(gateway, 'postern_config_reload_failed')).toBe(0);
    await expectDelivered(gateway, await post(gateway, { path: '/b', body: 'x' }));
  });

  test.each([
    [
      'a certificate that its key does not fit',
      'server.pem',
      () => defaults().then((d) => d.client.certificate),
      /does not fit/,
    ],
    [
      'a client CA that is cut short',
      'ca.pem',
      async () => '-----BEGIN CERTIFICATE-----\nMII\n',
      /holds nothing in PEM/,
    ],
    ['a file that is no YAML', 'postern.yaml', async () => 'routes: [', /this is not YAML/],
    ['a secret file that is empty', 'token', async () => '\n', /is empty/],
  ])('%s', async (_what, name, text, expected) => {
    const token = 'token-of-the-reload-test';
    const bearer = { bearer: `\${file:token}` };
    const guarded = config([route('a', { authorization: [bearer] })]);
    const gateway = await startGateway(guarded, { files: { token } });
    const contents = await text();
    const [problem] = await untilRefused(gateway, () => replaceFile(gateway, name, contents));
    expect(problem).toMatch(expected);
    expect(await metricOf(gateway, 'postern_config_reload_failed')).toBe(1);
    const headers: [string, string][] = [['Authorization', `Bearer ${token}`]];
    await expectDelivered(gateway, await post(gateway, { path: '/a', body: 'x', headers }));
  });
});

describe('a file that has changed is taken without a signal', () => {
  test('a secret file', async () => {
    const guarded = config([route('a', { authorization: [{ bearer: `\${file:token}` }] })]);
    const gateway = await startGateway(guarded, { files: { token: 'first-token-of-the-test' } });
    const send = (token: string) =>
      post(gateway, { path: '/a', body: 'x', headers: [['Authorization', `Bearer ${token}`]] });
    await expectDelivered(gateway, await send('first-token-of-the-test'));
    const line = await untilReloaded(gateway, () =>
      replaceFile(gateway, 'token', 'second-token-of-the-test\n'),
    );
    expect(line.cause).toBe('a file has changed');
    await expectDelivered(gateway, await send('second-token-of-the-test'));
    const before = () => send('first-token-of-the-test');
    await expectRefused(gateway, upstream, before, 401, 'authorization.wrong');
  });

  test('the gateway’s own certificate and key: shown in the next handshake, and nobody is cut off', async () => {
    const gateway = await startGateway(config([route('a')]));
    const kept = await connect(gateway);
    const { authority, server } = await defaults();
    expect(kept.socket.getPeerX509Certificate()?.fingerprint256).toBe(server.leaf.fingerprint256);
    const renewed = await authority.issue({
      commonName: 'localhost',
      usage: 'server',
      names: [{ type: 'dns', value: 'localhost' }],
    });
    const line = await untilReloaded(gateway, async () => {
      await replaceFile(gateway, 'server.pem', renewed.certificate);
      await replaceFile(gateway, 'server.key', renewed.key);
    });
    expect(line.closed_connections).toBe(0);
    await expectDelivered(gateway, await post(gateway, { path: '/a', on: kept, body: 'x' }));
    const next = await connect(gateway);
    expect(next.socket.getPeerX509Certificate()?.fingerprint256).toBe(renewed.leaf.fingerprint256);
    await expectDelivered(gateway, await post(gateway, { path: '/a', on: next, body: 'x' }));
  });

  test('Kubernetes’ folder of links, switched all at once', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-test-'));
    const revision = async (name: string, token: string): Promise<void> => {
      await mkdir(join(folder, 'mount', name), { recursive: true });
      await writeFile(join(folder, 'mount', name, 'token'), token);
    };
    await revision('..one', 'first-token-of-the-test');
    await symlink('..one', join(folder, 'mount/..data'));
    await symlink('..data/token', join(folder, 'mount/token'));
    const guarded = config([route('a', { authorization: [{ bearer: `\${file:mount/token}` }] })]);
    const gateway = await startGateway(guarded, { folder });
    await untilReloaded(gateway, async () => {
      await revision('..two', 'second-token-of-the-test');
      await symlink('..two', join(folder, 'mount/..data_tmp'));
      await rename(join(folder, 'mount/..data_tmp'), join(folder, 'mount/..data'));
    });
    const headers: [string, string][] = [['Authorization', 'Bearer second-token-of-the-test']];
    await expectDelivered(gateway, await post(gateway, { path: '/a', body: 'x', headers }));
  });

  test('a file written anew with the same contents changes nothing', async () => {
    const gateway = await startGateway(config([route('a')]), { files: { token: 'x' } });
    const { authority } = await defaults();
    await replaceFile(gateway, 'ca.pem', authority.certificate);
    const line = await untilReloaded(gateway, () =>
      replaceFile(gateway, 'postern.yaml', configText(config([route('b')]))),
    );
    expect(line.closed_connections).toBe(0);
    expect(gateway.lines.filter(({ msg }) => msg === 'configuration reloaded')).toHaveLength(1);
  });

  test('a sender profile that comes beside the configuration takes the place of the built-in one', async () => {
    const codat = { name: 'a', path: '/a', sender: 'codat', addresses: 'any', upstream: 'app' };
    const gateway = await startGateway(config([codat]));
    await expectRefused(
      gateway,
      upstream,
      () => post(gateway, { method: 'PATCH', path: '/a' }),
      405,
      'route.method_not_allowed',
    );
    const profile = [
      'title: Another',
      'documentation: https://example.com/webhooks',
      'methods: [PATCH]',
      'client_certificate: true',
      'retries: { statuses: not-2xx, schedule: [5s] }',
      'redirects: failed',
    ];
    await mkdir(join(gateway.folder, 'senders'));
    await untilReloaded(gateway, () => replaceFile(gateway, 'senders/codat.yaml', profile.join('\n')));
    await expectDelivered(gateway, await post(gateway, { method: 'PATCH', path: '/a', body: 'x' }));
  });
});

test('50 reloads under load lose no request and close no connection', async () => {
  const secret = newSecret();
  const changing = (turn: number): Config =>
    config([route('a', { signature: { secrets: [secret, newSecret()] } }), route(`turn-${turn}`)], {
      tls: { ...baseTls(), min_version: turn % 2 === 0 ? 'TLSv1.2' : 'TLSv1.3' },
    });
  const gateway = await startGateway(changing(0));
  const quiet = await startUpstream();
  expect(quiet.requests).toEqual([]);
  let isOver = false;
  const answers: { id: string; status: number }[] = [];
  const send = async (sender: number): Promise<void> => {
    const kept = await connect(gateway);
    for (let turn = 0; !isOver; turn += 1) {
      const id = `msg_${sender}_${turn}`;
      // Every eighth over a connection of its own.
      const on = turn % 8 === 0 ? undefined : kept;
      const answer = await post(gateway, {
        path: '/a',
        body: 'event',
        sign: { secret, id },
        ...(on === undefined ? {} : { on }),
      });
      answers.push({ id, status: answer.status });
    }
    expect(kept.socket.destroyed).toBe(false);
  };
  const senders = Promise.all(Array.from({ length: 8 }, (_, sender) => send(sender)));
  for (let turn = 1; turn <= 50; turn += 1)
    await reload(gateway, { 'postern.yaml': configText(changing(turn)) });
  isOver = true;
  await senders;
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect(answers.length).toBeGreaterThan(100);
  const seen = new Set(upstream.requests.flatMap(({ rawHeaders }) => rawHeaders));
  expect(answers.filter(({ id }) => !seen.has(id))).toEqual([]);
  const reloads = await metricOf(gateway, 'postern_config_reloads_total', { result: 'taken' });
  expect(reloads).toBeGreaterThanOrEqual(50);
});
