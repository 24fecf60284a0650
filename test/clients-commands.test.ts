import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { defaults } from './support/ca.ts';
import { runCommand } from './support/command.ts';
import { newSecret } from './support/secrets.ts';
import { requestBytes } from './support/sender.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-clients-'));
afterAll(() => rmSync(folder, { recursive: true }));
const put = (name: string, content: string | Buffer): string => {
  writeFileSync(join(folder, name), content, { mode: 0o600 });
  return join(folder, name);
};

const { authority, server, client } = await defaults();
const [ofAnn, ofBob, strangers] = [newSecret(), newSecret(), newSecret()];
const config = put(
  'postern.yaml',
  JSON.stringify({
    tls: {
      certificate: put('server.pem', server.certificate),
      private_key: put('server.key', server.key),
      client_ca: put('ca.pem', authority.certificate),
    },
    upstreams: { app: 'http://127.0.0.1:1', second: 'http://127.0.0.1:2' },
    routes: [
      {
        name: 'codat',
        path: '/codat',
        sender: 'codat',
        upstream: 'app',
        signature: { secrets: [newSecret()] },
        clients: {
          known: [
            { id: 'ann', secrets: [ofAnn] },
            {
              id: 'bob',
              secrets: [ofBob],
              upstream: 'second',
              upstream_path: '/bobs',
              rate_limit: { rate: '5/s' },
            },
            { id: 'carl', certificate: { names: ['CN:carl'] } },
          ],
        },
      },
    ],
  }),
);
const run = async (command: string, ...words: string[]) => {
  const result = await runCommand([command, '--config', config, ...words]);
  for (const secret of [ofAnn, ofBob, strangers]) expect(result.stdout + result.stderr).not.toContain(secret);
  return result;
};

test('postern routes shows who is told apart, by what, and where each one’s events go', async () => {
  const { stdout } = await run('routes');
  const rows = stdout.split('\n').map((line) => line.split(/ {2,}/));
  expect(rows.find(([name]) => name === 'route')).toContain('clients');
  expect(rows).toContainEqual([expect.any(String), 'ann', '-', '1 secret', '-', 'app']);
  expect(rows).toContainEqual([
    expect.any(String),
    'bob',
    '-',
    '1 secret',
    '5 per 1 s, burst 5, by route',
    'second/bobs',
  ]);
  expect(rows).toContainEqual([expect.any(String), 'carl', 'CN:carl', '-', '-', 'app']);
  for (const whose of ['codat', 'codat/ann', 'codat/bob'])
    expect(rows).toContainEqual([whose, '0', 'written in the configuration']);
  const [route] = JSON.parse((await run('routes', '--json')).stdout);
  expect(route.clients.known[1]).toEqual({
    id: 'bob',
    signature: '1 secret',
    secrets: [{ secret: 0 }],
    certificate: "the route's",
    rate: '5 per 1 s, burst 5, by route',
    upstream: 'second/bobs',
  });
});

test('postern check --show fills in what is left out, and shows no secret', async () => {
  const { stdout } = await run('check', '--show');
  expect(stdout).toMatch(
    / {4}clients:\n {6}header: x-codat-clientid\n {6}unknown: refuse\n {6}mode: enforce\n/,
  );
  expect(stdout).toMatch(
    /- id: ann\n {10}secrets:\n {12}- "<secret: \d+ characters, sha256 \w+>"\n {10}upstream: app\n/,
  );
  expect(stdout).toMatch(/- rate: 5\/s\n +burst: 5\n/);
});

describe('postern explain', () => {
  const explain = async (named: string, secret: string) => {
    const request = put(
      'request.http',
      requestBytes({
        path: '/codat',
        body: '{}',
        headers: [['X-Codat-ClientId', named]],
        sign: { secret, id: 'msg_1' },
      }),
    );
    const certificate = put('client.pem', client.certificate);
    const peer = ['--address', '4.159.114.108', '--certificate', certificate];
    const { stdout, exitCode } = await run('explain', '--request', request, ...peer, '--json');
    const found = JSON.parse(stdout) as {
      client?: string;
      reason?: string;
      checks: { check: string; answer: string; reason?: string; detail?: string }[];
      signature?: { findings: { kind: string; route?: string }[] };
    };
    const step = (name: string) => found.checks.find(({ check }) => check === name);
    return { ...found, exitCode, step };
  };

  test('says which client is named, and by which of its secrets it is proved', async () => {
    const { client: named, exitCode, step } = await explain('ann', ofAnn);
    expect([exitCode, named]).toEqual([0, 'ann']);
    expect(step('named client')).toMatchObject({ answer: 'passed', detail: expect.stringMatching(/^ann, /) });
    expect(step('signature')).toMatchObject({ answer: 'passed', detail: 'secret 1 of 1' });
  });

  test('says whose secret it was instead', async () => {
    const { exitCode, reason, step, signature } = await explain('bob', ofAnn);
    expect([exitCode, reason]).toEqual([1, 'client.mismatch']);
    expect(step('signature')).toMatchObject({ detail: 'signed by a secret of the client ann' });
    expect(signature?.findings).toMatchObject([{ kind: 'secret.client', route: 'codat/ann' }]);
  });

  test('says that a certificate is not the client’s, and that an id is not known', async () => {
    const carl = await explain('carl', strangers);
    expect([carl.exitCode, carl.reason]).toEqual([1, 'client.mismatch']);
    expect(carl.step('client')).toMatchObject({ detail: 'no name of the certificate is listed' });
    const nobody = await explain('nobody', ofAnn);
    expect([nobody.exitCode, nobody.reason, nobody.client]).toEqual([1, 'client.unknown', undefined]);
    expect(nobody.step('client')).toMatchObject({ answer: 'refused', detail: 'no client "nobody"' });
  });
});
