import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runCommand } from './support/command.ts';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { type Config, type Gateway, startGateway } from './support/gateway.ts';
import { metricOf } from './support/metrics.ts';
import { configText, reload, replaceFile } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { startUpstream, type Upstream, unusedPort } from './support/upstream.ts';

const TOKEN = 'token-of-the-usage-tests';
const [current, old, unused, other] = [newSecret(), newSecret(), newSecret(), newSecret()];

let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream();
});
let port: number;
beforeEach(async () => {
  port = await unusedPort();
});

const route = (name: string, secrets?: readonly string[]) => ({
  name,
  path: `/${name}`,
  addresses: 'any',
  upstream: 'app',
  ...(secrets && { signature: { secrets } }),
});
const ROUTES = [
  route('signed', [current, old, unused]),
  route('plain'),
  route('idle'),
  route('shut', [other]),
];
const config = (routes: readonly Config[] = ROUTES, more: Config = {}): Config => ({
  admin: { address: '127.0.0.1', port, token: TOKEN },
  // The machine may be busy with other tests: nothing here is about that.
  limits: { event_loop_delay: '10s' },
  upstreams: { app: upstream.url },
  routes,
  ...more,
});

const send = (gateway: Gateway, path: string, secret: string, id?: string) =>
  post(gateway, { path, body: '{}', sign: { secret, ...(id && { id }) } });
const ask = (gateway: Gateway, authorization = `Bearer ${TOKEN}`) =>
  fetch(`http://127.0.0.1:${gateway.admin?.port}/usage`, { headers: { authorization } });
const run = (gateway: Gateway, ...command: string[]) =>
  runCommand([...command, '--config', join(gateway.folder, 'postern.yaml')]);

interface Counted {
  route: string;
  requests: { count: number; since: string; last?: string };
  let_in: { count: number };
  secrets: { count: number; since: string; last?: string }[];
}
const countsOf = async (gateway: Gateway): Promise<Counted[]> =>
  ((await (await ask(gateway)).json()) as { routes: Counted[] }).routes;
/** Route, requests, those let in, and how often each secret matched. */
const numbers = async (gateway: Gateway): Promise<unknown[]> =>
  (await countsOf(gateway)).map((one) => [
    one.route,
    one.requests.count,
    one.let_in.count,
    ...one.secrets.map(({ count }) => count),
  ]);

/** A gateway on which the current secret matched twice, the old one once; on `shut` all were refused. */
async function startUsed(): Promise<Gateway> {
  const gateway = await startGateway(config());
  await expectDelivered(gateway, await send(gateway, '/signed', current, 'msg_1'));
  await expectDuplicate(gateway, await send(gateway, '/signed', current, 'msg_1'));
  await expectDelivered(gateway, await send(gateway, '/signed', old));
  await expectDelivered(gateway, await post(gateway, { path: '/plain', body: 'x' }));
  await expectRefused(gateway, upstream, () => send(gateway, '/shut', current), 401, 'signature.mismatch');
  return gateway;
}

describe('a running gateway counts by route and by secret', () => {
  test('and tells those who have the token, and the metrics', async () => {
    const beforeMs = Date.now();
    const gateway = await startUsed();
    expect((await ask(gateway, 'Bearer nobody')).status).toBe(401);
    expect(await numbers(gateway)).toEqual([
      ['signed', 3, 3, 2, 1, 0],
      ['plain', 1, 1],
      ['idle', 0, 0],
      ['shut', 1, 0, 0],
    ]);
    const [signed, , idle] = await countsOf(gateway);
    const [first, , third] = signed?.secrets ?? [];
    expect(Date.parse(first?.last ?? '')).toBeGreaterThanOrEqual(Date.parse(first?.since ?? ''));
    expect(Date.parse(first?.since ?? '')).toBeGreaterThanOrEqual(beforeMs);
    expect([third?.last, idle?.requests.last]).toEqual([undefined, undefined]);
    const text = await (await ask(gateway)).text();
    for (const secret of [current, old, unused, other]) expect(text).not.toContain(secret.slice(6));
  });

  test('under names of metrics', async () => {
    const gateway = await startGateway(config(ROUTES, { admin: { address: '127.0.0.1', port } }));
    await expectDelivered(gateway, await send(gateway, '/signed', old));
    const matches = (secret: string) =>
      metricOf(gateway, 'postern_secret_matches_total', { route: 'signed', secret });
    expect([await matches('0'), await matches('1'), await matches('2')]).toEqual([0, 1, 0]);
    const last = (name: string) => metricOf(gateway, 'postern_route_last_match_seconds', { route: name });
    expect(await last('signed')).toBeCloseTo(Date.now() / 1000, -3);
    expect(await last('idle')).toBe(0);
  });

  test('through a reload, also where a secret moved to another place; a new one begins anew', async () => {
    const gateway = await startUsed();
    const before = await countsOf(gateway);
    const changed = [route('signed', [unused, other, current]), route('idle'), route('fresh')];
    await reload(gateway, { 'postern.yaml': configText(config(changed)) });
    await expectDelivered(gateway, await send(gateway, '/signed', current));
    await expectDelivered(gateway, await send(gateway, '/signed', other));
    expect(await numbers(gateway)).toEqual([
      ['signed', 5, 5, 0, 1, 3],
      ['idle', 0, 0],
      ['fresh', 0, 0],
    ]);
    const after = await countsOf(gateway);
    const since = (counted: Counted[], place: number) => counted[0]?.secrets[place]?.since;
    expect(since(after, 2)).toBe(since(before, 0));
    expect(Date.parse(since(after, 1) ?? '')).toBeGreaterThan(Date.parse(since(before, 0) ?? ''));
  });
});

describe('postern check asks the gateway that runs its configuration', () => {
  test('and warns of an old secret still in use, and of what has met nothing', async () => {
    const gateway = await startUsed();
    const { stdout, exitCode } = await run(gateway, 'check');
    const time = '\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z';
    expect(exitCode).toBe(0);
    for (const line of [
      `warning: routes\\[0\\] signed: signature\\.secrets\\[1\\]: an old secret is still in use, by 1 request, last at ${time}`,
      `warning: routes\\[0\\] signed: signature\\.secrets\\[2\\]: never matched since ${time}; if its rotation is over, remove it`,
      `warning: routes\\[3\\] shut: let in none of the 1 requests that came since ${time}`,
      `warning: routes: no request has come since ${time} for idle`,
      `note: asked the running gateway at 127\\.0\\.0\\.1:${port}`,
    ])
      expect(stdout).toMatch(new RegExp(`^${line}$`, 'm'));
    expect(stdout).not.toMatch(/secrets\[0\]: never|plain: /);
    const json = JSON.parse((await run(gateway, 'check', '--json')).stdout);
    expect(json.usage).toBe(`asked the running gateway at 127.0.0.1:${port}`);
    expect(json.warnings.filter((warning: string) => warning.includes('old secret'))).toHaveLength(1);
  });

  test('postern routes shows the same as columns, and as data', async () => {
    const gateway = await startUsed();
    const { stdout } = await run(gateway, 'routes');
    expect(stdout).toMatch(/^signed .* 3 +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/m);
    expect(stdout).toMatch(/^idle .* 0 +never$/m);
    expect(stdout).toMatch(/^signed +2 +written in the configuration +0 +never$/m);
    const routes = JSON.parse((await run(gateway, 'routes', '--json')).stdout);
    expect(routes[0].requests.count).toBe(3);
    expect(routes[0].secrets.map(({ count }: { count: number }) => count)).toEqual([2, 1, 0]);
  });

  test('a gateway of another file is left aside', async () => {
    const gateway = await startUsed();
    await replaceFile(gateway, 'other.yaml', configText(config()));
    const other = join(gateway.folder, 'other.yaml');
    const aside = (await runCommand(['check', '--config', other])).stdout;
    expect(aside).toContain(
      `note: the gateway at 127.0.0.1:${port} runs ${join(gateway.folder, 'postern.yaml')}, so its counts were left aside`,
    );
    expect(aside).not.toMatch(/old secret|never matched|no request/);
  });

  test('and so is one to which a variable means something else', async () => {
    const routes = [route('signed', [`\${ROTATED}`])];
    const gateway = await startGateway(config(routes), { env: { ROTATED: old } });
    const file = join(gateway.folder, 'postern.yaml');
    const checked = (ROTATED: string) => runCommand(['check', '--config', file], { ROTATED });
    expect((await checked(old)).stdout).toContain('note: asked the running gateway');
    expect((await checked(current)).stdout).toContain(
      `note: the gateway at 127.0.0.1:${port} runs another version of this file, or has other variables, so its counts were left aside`,
    );
  });

  test('nothing is said where nobody answers, or somebody who is no gateway', async () => {
    const gateway = await startUsed();
    await gateway.stop();
    const alone = await run(gateway, 'check');
    expect([alone.exitCode, alone.stdout]).toEqual([0, expect.not.stringMatching(/note:|never matched/)]);
    const escaping = { configuration: { file: '\x1b[2J', sha256: '' }, routes: [] };
    for (const answer of ['{"routes":[]}', JSON.stringify(escaping), undefined]) {
      const stranger = createServer((_request, response) => {
        if (answer !== undefined) response.end(answer);
      }).listen(port, '127.0.0.1');
      await once(stranger, 'listening');
      const { stdout, exitCode } = await run(gateway, 'check');
      stranger.closeAllConnections();
      await new Promise((resolve) => stranger.close(resolve));
      expect([exitCode, stdout]).toEqual([0, alone.stdout]);
    }
  });
});

test('where several gateways share a port, the note says that one was asked', async () => {
  const listen = { address: '127.0.0.1', port: await unusedPort(), reuse_port: true };
  const state = { driver: 'sqlite', path: 'state.db' };
  const gateway = await startGateway(config(ROUTES, { listen, state }));
  const { stdout } = await run(gateway, 'check');
  expect(stdout).toContain(
    `note: asked the running gateway at 127.0.0.1:${port}; it counts for itself alone, and others that share its port or its state are not asked\n`,
  );
});
