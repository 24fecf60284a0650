import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { makeCertificateFolder } from './config/certificates.ts';
import { runCommand } from './support/command.ts';

const certs = await makeCertificateFolder();
afterAll(() => rmSync(certs, { recursive: true }));

test('postern check --show prints the whole of a declared scheme, in the notation of the file', async () => {
  const file = join(certs, 'show-signature.yaml');
  const route = (name: string, more: string, signature: string): string =>
    `  - { name: ${name}, path: /${name}, addresses: any, ${more}upstream: ledger, signature: ${signature} }`;
  const head = [
    'tls: { certificate: server.pem, private_key: server.key, client_ca: ca.pem, client_certificate: optional }',
    'upstreams: { ledger: "http://127.0.0.1:9000" }',
    'routes:',
  ];
  const own =
    '{ scheme: hmac, secrets: ["a-secret-of-show"], header: X-Sign, timestamp: { header: X-Time, unit: ms }, content: "{timestamp}.{body}" }';
  writeFileSync(
    file,
    [
      ...head,
      route('github', 'sender: github, certificate: none, ', '{ secrets: ["another-secret-of-show"] }'),
      route('own', '', own),
      route('token', '', '{ scheme: token, secrets: ["a-token-of-show"], header: X-Token }'),
    ].join('\n'),
  );
  const { exitCode, stdout } = await runCommand(['check', '--config', file, '--show']);
  expect(exitCode).toBe(0);
  expect(stdout).not.toMatch(/(?:secret|token)-of-show/);
  const { routes, senders } = parse(stdout);
  const github = { header: 'x-hub-signature-256', algorithm: 'sha256', encoding: 'hex', prefix: 'sha256=' };
  expect(senders.github.signature).toMatchObject({ ...github, content: '{body}', id: 'content' });
  expect(routes.map((one: { signature: object }) => one.signature)).toMatchObject([
    { scheme: 'hmac' },
    {
      scheme: 'hmac',
      algorithm: 'sha256',
      encoding: 'hex',
      timestamp: { header: 'X-Time', unit: 'ms' },
      content: '{timestamp}.{body}',
      tolerance: '5m',
      id: 'content',
    },
    { scheme: 'token', id: 'none' },
  ]);
  // What the sender declares may not be said again at its route.
  expect(routes[0].signature).not.toHaveProperty('header');
});
