import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { makeCertificateFolder } from './config/certificates.ts';
import { runCommand } from './support/command.ts';
import { startGateway } from './support/gateway.ts';
import { startUpstream } from './support/upstream.ts';

const certs = await makeCertificateFolder();
afterAll(() => rmSync(certs, { recursive: true }));

/** As the README describes it: how long a secret is, and the beginning of its SHA-256. */
const redacted = (secret: string): string =>
  `<secret: ${secret.length} characters, sha256 ${createHash('sha256').update(secret).digest('hex').slice(0, 8)}>`;

const MARKED = {
  BEARER: 'bearer-of-the-show-tests',
  HIDDEN: 'value-of-the-show-tests',
  PORT: '0',
};
const CONFIG = `
listen: { address: 127.0.0.1, port: "\${PORT}" }
admin: { port: 0, token: "\${BEARER}" }
tls: { certificate: combined.pem, client_ca: two-authorities.pem }
limits: { body: 2MiB, idle_timeout: 90s }
upstreams: { ledger: "http://127.0.0.1:9000", both: "http://127.0.0.1:9001" }
routes:
  - name: events
    path: /events
    sender: codat
    headers: { x-plain: one, x-hidden: "\${HIDDEN}", x-Mixed: "a-\${HIDDEN}" }
    signature: { secrets: ["whsec_bm90LWEtcmVhbC1zZWNyZXQtYnV0LWxvbmctZW5vdWdo"] }
    rate_limit: { rate: 5/2s }
    upstream: ledger
  - { name: also, path: /also, addresses: [10.0.0.0/8], upstream: both }
  - { name: rest, path: /rest/*, sender: codat, addresses: any, signature: { secrets: ["\${BEARER_SECRET}"] }, upstream: both }
`;
const env = { ...MARKED, BEARER_SECRET: `whsec_${Buffer.alloc(24, 1).toString('base64')}` };
const file = join(certs, 'show.yaml');
writeFileSync(file, CONFIG);

describe('postern check --show', () => {
  test('prints the effective configuration: defaults, substitutions, sender profiles', async () => {
    const { exitCode, stdout, stderr } = await runCommand(['check', '--config', file, '--show'], env);
    expect(exitCode).toBe(0);
    const shown = parse(stdout);
    expect(shown).toMatchObject({
      listen: { address: '127.0.0.1', port: 0, reuse_port: false },
      admin: { address: '127.0.0.1', port: 0, token: redacted(MARKED.BEARER) },
      tls: { client_certificate: 'required', min_version: 'TLSv1.2' },
      limits: { body: '2MiB', buffered_bodies: '256MiB', connections: 10_000, idle_timeout: '90s' },
      state: { driver: 'sqlite', path: join(certs, '../data/postern.db') },
      log: { level: 'info', destination: 'stdout' },
      upstreams: {
        ledger: { targets: ['http://127.0.0.1:9000'], timeout: '13s', connect_timeout: '2s', late: '30s' },
        both: { timeout: '30s for no sender; 13s for codat' },
      },
      routes: [
        {
          methods: ['POST', 'PUT'],
          addresses: ['4.159.114.108', '20.117.190.191'],
          certificate: 'any that client_ca vouches for',
          headers: {
            'x-plain': 'one',
            'x-hidden': redacted(MARKED.HIDDEN),
            'x-Mixed': redacted(`a-${MARKED.HIDDEN}`),
          },
          signature: { scheme: 'standard-webhooks', tolerance: '5m' },
          rate_limit: [{ rate: '5/2s', burst: 5, by: 'route' }],
          body_limit: '2MiB',
          remember: '72h',
          deliver: 'forward',
        },
        { addresses: ['10.0.0.0/8'], methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] },
        { addresses: 'any' },
      ],
      senders: { codat: { deadline: '15s', answered_within: '14s', retries: { statuses: 'not-2xx' } } },
    });
    expect(Object.keys(shown.senders)).toEqual(['codat']);
    for (const secret of [MARKED.BEARER, MARKED.HIDDEN, env.BEARER_SECRET])
      expect(stdout + stderr).not.toContain(secret);
    expect(stdout).not.toContain('warning:');
  });

  test('tells of certificates whose they are and when they end, and nothing of the key beside them', async () => {
    const { stdout } = await runCommand(['check', '--config', file, '--show'], env);
    const { tls } = parse(stdout);
    expect(tls.certificate).toEqual({
      file: join(certs, 'combined.pem'),
      certificates: [
        {
          subject: 'CN=gate.example.com',
          fingerprint: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
          not_after: '2099-01-01T00:00:00.000Z',
        },
      ],
    });
    const subjects = tls.client_ca.certificates.map(({ subject }: { subject: string }) => subject);
    expect(subjects).toEqual(['CN=Golden CA', 'CN=Second golden CA']);
    expect(stdout).not.toContain('PRIVATE KEY');
  });

  test('prints the same every time, and with --json the same as JSON', async () => {
    const args = ['check', '--config', file, '--show'];
    const [first, second, json] = await Promise.all([
      runCommand(args, env),
      runCommand(args, env),
      runCommand([...args, '--json'], env),
    ]);
    expect(second.stdout).toBe(first.stdout);
    expect(JSON.stringify(JSON.parse(json.stdout))).toBe(JSON.stringify(parse(first.stdout)));
  });

  test('tells one value from another', async () => {
    const args = ['check', '--config', file, '--show'];
    const { stdout } = await runCommand(args, { ...env, BEARER: 'bearer-of-the-show-tests!' });
    expect(parse(stdout).admin.token).toBe(redacted('bearer-of-the-show-tests!'));
  });

  test('prints nothing but the mistakes of a configuration that is wrong', async () => {
    const { exitCode, stdout, stderr } = await runCommand(['check', '--config', file, '--show'], {
      ...env,
      PORT: 'port-of-the-show-tests',
    });
    expect([exitCode, stdout]).toEqual([78, '']);
    expect(stderr).toMatch(/show\.yaml:2:\d+ listen\.port: expected a port/);
    expect(stderr).not.toContain('port-of-the-show-tests');
  });
});

test('postern routes shows the headers that choose a route, and not what a substitution brought in', async () => {
  for (const more of [[], ['--json']]) {
    const { stdout } = await runCommand(['routes', '--config', file, ...more], env);
    expect(stdout).toContain('x-hidden: (secret)');
    expect(stdout).toContain('x-plain: one');
    expect(stdout).not.toContain(MARKED.HIDDEN);
  }
});

test('/config serves the same of the running configuration, to those who have the token', async () => {
  const upstream = await startUpstream();
  const token = 'token-of-the-show-tests';
  const config = {
    admin: { address: '127.0.0.1', port: 0, token: `\${TOKEN}` },
    upstreams: { app: { targets: [upstream.url], headers: { 'x-key': token } } },
    routes: [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }],
  };
  const gateway = await startGateway(config, { env: { TOKEN: token } });
  const ask = (method: string, authorization: string) =>
    fetch(`http://127.0.0.1:${gateway.admin?.port}/config`, { method, headers: { authorization } });
  expect((await ask('GET', `Bearer ${token}!`)).status).toBe(401);
  expect((await ask('POST', `Bearer ${token}`)).status).toBe(405);
  const answer = await ask('GET', `Bearer ${token}`);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/yaml']);
  const text = await answer.text();
  const started = join(gateway.folder, 'postern.yaml');
  expect(text).toBe((await runCommand(['check', '--config', started, '--show'], { TOKEN: token })).stdout);
  expect(text).not.toContain(token);

  writeFileSync(started, readFileSync(started, 'utf8').replace('/plain', '/renamed'));
  const since = gateway.lines.length;
  gateway.signal('SIGHUP');
  await gateway.line(({ msg }) => msg === 'configuration reloaded', since);
  expect(parse(await (await ask('GET', `Bearer ${token}`)).text()).routes[0].path).toBe('/renamed');
  expect(await gateway.stop()).toBe(0);
});
