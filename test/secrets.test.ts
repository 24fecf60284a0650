import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { defaults } from './support/ca.ts';
import { runCommand } from './support/command.ts';
import { baseTls, type Config, type Gateway, startGateway } from './support/gateway.ts';
import { Leaks } from './support/leaks.ts';
import { type Answer, connect, post, type RequestOptions, signatureHeaders } from './support/sender.ts';
import { startRawUpstream, startUpstream, unusedPort } from './support/upstream.ts';

const leaks = new Leaks();
const env = {
  BEARER: leaks.mark('bearer'),
  USERNAME: leaks.mark('basic.username'),
  PASSWORD: leaks.mark('basic.password'),
  API_KEY: leaks.mark('header.value'),
  INTERNAL_KEY: leaks.mark('upstream header'),
  CHOOSING: leaks.mark('route header'),
  SIGNING: leaks.markSigning('signature'),
  ATTEST: leaks.mark('attest.key, shared'),
  ADMIN: leaks.mark('admin.token'),
};
const fromFile = leaks.mark('a secret file');
const attestKey = generateKeyPairSync('ed25519')
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString();
leaks.watchKey('attest.key, private', attestKey);
const CRASHING = { NODE_OPTIONS: `--import ${new URL('support/crashing.mjs', import.meta.url).href}` };
const basic = (password: string): string => Buffer.from(`${env.USERNAME}:${password}`).toString('base64');

let gateway: Gateway;
let config: Config;
/** All that anybody was told but the upstream, whom the secrets are for. */
const said: string[] = [];

beforeAll(async () => {
  const { server, client } = await defaults();
  leaks.watchKey('tls.private_key', server.key);
  leaks.watchKey('upstream tls.private_key', client.key);
  const failing = await startUpstream({
    // As services do in debug mode: everything back to whoever asks.
    answer: (request, response) => response.writeHead(500).end(request.rawHeaders.join('\n')),
  });
  const garbling = await startRawUpstream();
  garbling.handle((connection) => {
    connection.socket.on('data', (bytes: Buffer) => connection.socket.end(`HTTP/1.1 200 OK\r\n${bytes}`));
  });
  const untrusted = await startUpstream({ tls: { key: server.key, cert: server.certificate } });
  const headers = { 'x-internal-key': `\${INTERNAL_KEY}` };
  const common = { addresses: 'any', sender: 'codat' };
  const signature = { secrets: [`\${SIGNING}`] };
  const to = (url: string, more = {}) => ({ targets: [url], headers, connect_timeout: '300ms', ...more });
  const files = {
    'client.pem': client.certificate,
    'client.key': client.key,
    'attest.key': attestKey,
    token: `${fromFile}\n`,
  };
  config = {
    admin: { address: '127.0.0.1', port: 0, token: `\${ADMIN}` },
    tls: baseTls(),
    log: { level: 'debug' },
    upstreams: {
      app: to((await startUpstream()).url),
      failing: to(failing.url),
      garbling: to(garbling.url),
      down: to(`http://127.0.0.1:${await unusedPort()}`),
      untrusted: to(untrusted.url, { tls: { certificate: 'client.pem', private_key: 'client.key' } }),
    },
    routes: [
      {
        ...{ name: 'events', path: '/events', ...common, upstream: 'app', signature },
        authorization: [{ bearer: `\${BEARER}` }, { bearer: `\${file:token}` }],
        attest: { key: `\${ATTEST}`, key_id: 'first' },
      },
      {
        ...{ name: 'login', path: '/login', ...common, upstream: 'app', signature },
        authorization: [
          { basic: { username: `\${USERNAME}`, password: `\${PASSWORD}` } },
          { header: { name: 'x-api-key', value: `\${API_KEY}` } },
        ],
        attest: { key: `\${file:attest.key}` },
      },
      {
        name: 'chosen',
        path: '/chosen',
        headers: { 'x-client': `\${CHOOSING}` },
        ...common,
        upstream: 'app',
        signature,
      },
      ...['failing', 'garbling', 'down', 'untrusted'].map((name) => ({
        ...{ name, path: `/${name}`, ...common, upstream: name, signature },
        attest: { key: `\${ATTEST}` },
      })),
    ],
  };
  gateway = await startGateway(config, { env: { ...env, ...CRASHING }, files });
});

const hear = (answer: Answer): number => {
  said.push([...answer.rawHeaders, answer.body.toString()].join('\n'));
  return answer.status;
};
const send = async (options: RequestOptions): Promise<number> =>
  hear(await post(gateway, { body: '{}', ...options }));
const signed = { sign: { secret: env.SIGNING } };
const bearer = (token: string): [string, string] => ['Authorization', `Bearer ${token}`];

describe('no secret is told', () => {
  test('to senders, right or nearly so, or to the log', async () => {
    expect(await send({ path: '/events', headers: [bearer(env.BEARER)], ...signed })).toBe(200);
    expect(await send({ path: '/events', headers: [bearer(fromFile)], ...signed })).toBe(200);
    expect(
      await send({ path: '/login', headers: [['Authorization', `Basic ${basic(env.PASSWORD)}`]], ...signed }),
    ).toBe(200);
    expect(await send({ path: '/login', headers: [['X-Api-Key', env.API_KEY]], ...signed })).toBe(200);
    expect(await send({ path: '/chosen', headers: [['X-Client', env.CHOOSING]], ...signed })).toBe(200);
    const wrong: [string, [string, string][]][] = [
      ['/events', [bearer(`${env.BEARER}x`)]],
      ['/events', [bearer(env.BEARER.slice(0, -1))]],
      ['/events', [bearer(env.BEARER.toLowerCase())]],
      ['/events', [['Authorization', env.BEARER]]],
      ['/events', [['Authorization', `Bearer${env.BEARER}`]]],
      ['/events', [bearer(env.BEARER), bearer(env.BEARER)]],
      ['/login', [['Authorization', `Basic ${basic(`${env.PASSWORD}x`)}`]]],
      ['/login', [['Authorization', `Basic ${basic(env.PASSWORD)}====`]]],
      ['/login', [['Authorization', `Basic ${env.USERNAME}:${env.PASSWORD}`]]],
      [
        '/login',
        [
          ['X-Api-Key', `${env.API_KEY}x`],
          ['X-Api-Key', env.API_KEY],
        ],
      ],
    ];
    for (const [path, headers] of wrong)
      expect([400, 401]).toContain(await send({ path, headers, ...signed }));
    expect(await send({ path: '/chosen', headers: [['X-Client', `${env.CHOOSING}x`]], ...signed })).toBe(404);
    // A secret in place of a signature, an id and a time, as a mistaken configuration of the sender has it.
    for (const place of [0, 1, 2]) {
      const headers = signatureHeaders('{}', signed.sign).map(([name, value], index): [string, string] => [
        name,
        index === place ? env.SIGNING : value,
      ]);
      expect(await send({ path: '/events', headers: [bearer(env.BEARER), ...headers] })).toBe(401);
    }
  });

  test('of those in a target, whatever is wrong with it', async () => {
    const [token, password] = [encodeURIComponent(env.BEARER), encodeURIComponent(env.PASSWORD)];
    const query = `token=${token}&password=${password}`;
    const targets: [string, number][] = [
      [`/events?${query}`, 401],
      [`/nowhere?${query}`, 404],
      [`//events?${query}`, 400],
      [`/events#${query}`, 400],
      [`https://user:${password}@localhost/events?${query}`, 400],
      [`https://user:${password}?/@localhost/events`, 400],
      [`//user:${password}@localhost/events`, 400],
      [`user:${password}@localhost:443`, 400],
    ];
    for (const [path, status] of targets) expect([path, await send({ path })]).toEqual([path, status]);
  });

  test('of those in a head that is no request', async () => {
    const heads = [
      `POST /events HTTP/1.1\r\nHost: user:${env.PASSWORD}@localhost\r\n\r\n`,
      `POST /events HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer ${env.BEARER}\r\n\r\n`,
      `POST /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${env.BEARER}\0\r\n\r\n`,
      `POST /events HTTP/1.1\r\nHost: localhost\r\nConnection: ${env.BEARER}\r\n\r\n`,
      `POST /events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: ${env.BEARER}\r\n\r\n`,
      `Authorization: Bearer ${env.BEARER}\r\n\r\n`,
    ];
    for (const head of heads) {
      const connection = await connect(gateway);
      connection.send(head);
      expect(hear(await connection.answer())).toBe(400);
      connection.close();
    }
  });

  test.each([
    ['/failing', 500, 'upstream.failed', undefined],
    ['/garbling', 502, 'upstream.invalid', /HTTPParserError/],
    ['/down', 502, 'upstream.unreachable', /ECONNREFUSED/],
    ['/untrusted', 502, 'upstream.unreachable', /CERT|UNABLE/],
  ] as const)('when the upstream fails (%s)', async (path, status, reason, detail) => {
    const answer = await post(gateway, { path, body: '{}', ...signed });
    expect(hear(answer)).toBe(status);
    const record = await gateway.record(answer.id);
    expect(record.reason).toBe(reason);
    if (detail !== undefined) expect(record.detail).toMatch(detail);
  });

  test('when something outside of any request fails: by what was thrown, rejected, and what it carries', async () => {
    const told = (wanted: object) =>
      gateway.line(
        ({ msg, err }) => msg === 'uncaught' && isDeepStrictEqual({ ...(err as object), ...wanted }, err),
      );
    gateway.signal('SIGUSR2');
    const thrown = await told({ type: 'Error', message: 'thrown', code: 'E_CRASH' });
    expect(Object.keys(thrown.err as object).sort()).toEqual(['cause', 'code', 'message', 'stack', 'type']);
    await told({ type: 'Error', message: 'rejected' });
    await told({ type: 'AggregateError', message: 'several' });
    await told({ type: 'Object' });
    expect(await send({ path: '/events', headers: [bearer(env.BEARER)], ...signed })).toBe(200);
  });

  test('by the admin listener', async () => {
    for (const path of ['/config', '/metrics', '/readyz', '/healthz', '/nothing'])
      for (const token of [env.ADMIN, `${env.ADMIN}x`]) {
        const url = `http://127.0.0.1:${gateway.admin?.port}${path}?token=${encodeURIComponent(env.ADMIN)}`;
        const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
        said.push(await answer.text(), JSON.stringify([...answer.headers]));
      }
    expect(said.some((text) => text.startsWith('listen:'))).toBe(true);
    expect(said.some((text) => text.includes('postern_requests_total'))).toBe(true);
  });

  test('by commands that read the configuration', async () => {
    const file = join(gateway.folder, 'postern.yaml');
    const commands = [['check'], ['check', '--show'], ['check', '--show', '--json'], ['routes', '--json']];
    const ends = await Promise.all(
      commands.map((command) => runCommand([...command, '--config', file], env)),
    );
    for (const { exitCode, stdout, stderr } of ends) {
      expect([exitCode, stdout.length > 20]).toEqual([0, true]);
      said.push(stdout, stderr);
    }
  });

  test('in a reload that fails', async () => {
    const since = gateway.lines.length;
    const file = join(gateway.folder, 'postern.yaml');
    writeFileSync(file, stringify(config).replace(`token: \${ADMIN}`, `token: [ "\${ADMIN}" ]`));
    gateway.signal('SIGHUP');
    await gateway.line(({ msg }) => msg === 'configuration not reloaded', since);
  });

  test('in all of that', async () => {
    expect(await gateway.stop()).toBe(0);
    expect(gateway.lines.length).toBeGreaterThan(30);
    expect(leaks.in(gateway.output())).toEqual([]);
    expect(leaks.in(said.join('\n'))).toEqual([]);
  });
});
