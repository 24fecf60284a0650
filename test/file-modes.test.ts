import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { defaults } from './support/ca.ts';
import { runCommand } from './support/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-modes-test-'));
const file = (name: string): string => join(folder, name);
const IS_ROOT = process.getuid?.() === 0;
const NOBODY = 65_534;
let warnings: readonly string[];

/** Writes a file whose mode no umask changes. */
function put(name: string, text: string, mode: number, owner?: number): void {
  writeFileSync(file(name), text);
  if (owner !== undefined && IS_ROOT) chownSync(file(name), owner, owner);
  chmodSync(file(name), mode);
}

/** All cases stand in one configuration, which `postern check` judges once. */
beforeAll(async () => {
  const { authority, server } = await defaults();
  const { key, certificate } = server;
  put('ca.pem', authority.certificate, 0o644);
  put('server.pem', certificate, 0o644);
  put('combined.pem', key + certificate, 0o644);
  put('owner.key', key, 0o600);
  put('others-read.key', key, 0o604);
  put('others-write.key', key, 0o602);
  put('group.key', key, 0o640);
  put('given-to-group.key', key, 0o440, NOBODY);
  put('given-to-all.key', key, 0o444, NOBODY);
  // As Kubernetes mounts a volume: links by which it swaps all files at once.
  mkdirSync(file('..2026'));
  put('..2026/link-to-owner.key', key, 0o600);
  put('..2026/link-to-all.key', key, 0o644);
  symlinkSync('..2026', file('..data'));
  symlinkSync('..data/link-to-owner.key', file('link-to-owner.key'));
  symlinkSync('..data/link-to-all.key', file('link-to-all.key'));
  const secret = 'a-secret-of-the-file-mode-tests';
  put('token-owner', secret, 0o600);
  put('token-group', secret, 0o440);
  put('token-all', secret, 0o644);
  put('token-write', secret, 0o602);
  symlinkSync('token-all', file('token-link'));
  const publicKey = generateKeyPairSync('ed25519')
    .publicKey.export({ format: 'pem', type: 'spki' })
    .toString();
  put('public-read', publicKey, 0o644);
  put('public-write', publicKey, 0o646);

  const keys = ['owner', 'others-read', 'others-write', 'group', 'given-to-group', 'given-to-all'];
  const upstream = (tls: Record<string, string>) => ({ targets: ['https://127.0.0.1:9'], tls });
  const upstreams = Object.fromEntries(
    [...keys, 'link-to-owner', 'link-to-all'].map((name) => [
      name,
      upstream({ certificate: 'server.pem', private_key: `${name}.key` }),
    ]),
  );
  const tokens = ['token-owner', 'token-group', 'token-all', 'token-write', 'token-link'];
  const config = {
    // The key stands beside the certificate, and is not the one that is used.
    tls: { certificate: 'combined.pem', private_key: 'group.key', client_ca: 'ca.pem' },
    upstreams: { ...upstreams, combined: upstream({ certificate: 'combined.pem' }) },
    routes: [
      {
        name: 'a',
        path: '/a',
        addresses: 'any',
        upstream: 'owner',
        authorization: tokens.map((name) => ({ bearer: `\${file:${name}}` })),
        signature: {
          scheme: 'public-key',
          header: 'x-signature',
          algorithm: 'ed25519',
          public_keys: ['public-read', 'public-write'].map((name) => `\${file:${name}}`),
        },
      },
    ],
  };
  put('postern.yaml', stringify(config), 0o644);
  const checked = await runCommand(['check', '--config', file('postern.yaml'), '--json']);
  expect([checked.exitCode, checked.stderr]).toEqual([0, '']);
  warnings = (JSON.parse(checked.stdout) as { warnings: string[] }).warnings;
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What is said of who may read the files named at one key of the configuration. */
const saidOf = (path: string): string[] =>
  warnings.filter((line) => line.startsWith(path) && / may (?:read|change) /.test(line));

describe('a private key draws a warning', () => {
  test.each([
    ['that others may read', 'others-read', 'other users', 600],
    ['that others may write', 'others-write', 'other users', 600],
    ['that the group may read though its owner is who starts the gateway', 'group', 'its group', 600],
    ['behind links, by the file they lead to', 'link-to-all', 'other users', 600],
    ['that another owner lets everybody read', 'given-to-all', 'other users', IS_ROOT ? 640 : 600],
  ])('%s', (_case, name, who, mode) => {
    const key = file(`${name}.key`);
    expect(saidOf(`upstreams.${name}.`)).toEqual([
      `upstreams.${name}.tls.private_key: ${who} may read the private key in ${key}; run: chmod ${mode} ${key}`,
    ]);
  });

  test('in one file with its certificate', () => {
    const combined = file('combined.pem');
    expect(saidOf('upstreams.combined.')).toEqual([
      `upstreams.combined.tls.certificate: other users may read the private key in ${combined}; run: chmod 600 ${combined}`,
    ]);
  });

  test('of the gateway itself; also one that was left in the certificate file and is not used', () => {
    const [combined, key] = [file('combined.pem'), file('group.key')];
    expect(saidOf('tls.')).toEqual([
      `tls.certificate: other users may read the private key in ${combined}; run: chmod 600 ${combined}`,
      `tls.private_key: its group may read the private key in ${key}; run: chmod 600 ${key}`,
    ]);
  });
});

describe('a private key draws none', () => {
  test('that only its owner may read', () => expect(saidOf('upstreams.owner.')).toEqual([]));

  test('behind links to such a file', () => expect(saidOf('upstreams.link-to-owner.')).toEqual([]));

  test.skipIf(!IS_ROOT)('that another owner lets the group read', () => {
    expect(saidOf('upstreams.given-to-group.')).toEqual([]);
  });
});

describe('a file that a value comes from', () => {
  test.each([
    ['that others may read', 2, 'token-all'],
    ['that others may write', 3, 'token-write'],
    ['behind a link, by the file it leads to', 4, 'token-link'],
  ])('draws a warning: one %s', (_case, place, name) => {
    expect(saidOf(`routes[0].authorization[${place}]`)).toEqual([
      `routes[0].authorization[${place}].bearer: other users may read ${file(name)}; run: chmod o-rwx ${file(name)}`,
    ]);
  });

  test('draws none: one that its owner and group may read, as Kubernetes mounts it for a group', () => {
    expect(saidOf('routes[0].authorization[0]')).toEqual([]);
    expect(saidOf('routes[0].authorization[1]')).toEqual([]);
  });

  test('draws one where it is a public key only if others may write it', () => {
    expect(saidOf('routes[0].signature')).toEqual([
      `routes[0].signature.public_keys[1]: other users may change ${file('public-write')}; run: chmod o-w ${file('public-write')}`,
    ]);
  });
});
