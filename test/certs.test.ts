import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CommandResult, runCommand } from './support/command.ts';

const ALL = ['ca.key', 'ca.pem', 'client-bundle.pem', 'client.key', 'client.pem', 'server.key', 'server.pem'];
const root = mkdtempSync(join(tmpdir(), 'postern-certs-test-'));
let folder = join(root, 'made', 'by', 'certs');
let made: CommandResult;

beforeAll(async () => {
  const names = ['--host', 'Hooks.Example.com', '--host', '10.1.2.3', '--client-name', 'codat.example.com'];
  made = await runCommand(['certs', '--out', folder, '--days', '30', ...names]);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('a new set', () => {
  it('is written with exit code 0 into a folder that is made for it', () => {
    expect(made).toMatchObject({ exitCode: 0, stderr: '' });
    expect(readdirSync(folder).sort()).toEqual(ALL);
  });

  it('says of every file what it is for, and how to paste the bundle', () => {
    for (const name of ALL) expect(made.stdout).toMatch(new RegExp(`written +${name} +\\S`));
    expect(made.stdout).toContain('Configure mTLS');
  });

  it('lets nobody else read the files that hold a key', () => {
    const modes = ALL.map((name) => [name, (statSync(join(folder, name)).mode & 0o777).toString(8)]);
    expect(Object.fromEntries(modes)).toEqual({
      'ca.key': '600',
      'ca.pem': '644',
      'client-bundle.pem': '600',
      'client.key': '600',
      'client.pem': '644',
      'server.key': '600',
      'server.pem': '644',
    });
  });

  it('holds a CA that signs itself and may sign nothing but leaves', () => {
    const ca = certificate('ca');
    expect(ca.ca).toBe(true);
    expect(ca.verify(ca.publicKey)).toBe(true);
    expect(ca.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });

  it('holds a server certificate of the CA for localhost and every --host, for servers only', () => {
    const server = certificate('server');
    expect(issuedByCa(server)).toBe(true);
    expect(server.subjectAltName).toBe(
      'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:hooks.example.com, IP Address:10.1.2.3',
    );
    for (const name of ['localhost', 'hooks.example.com']) expect(server.checkHost(name)).toBe(name);
    for (const address of ['127.0.0.1', '::1', '10.1.2.3']) expect(server.checkIP(address)).toBe(address);
    expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  });

  it('holds a client certificate of the CA under --client-name, for clients only', () => {
    const client = certificate('client');
    expect(issuedByCa(client)).toBe(true);
    expect(client.subject).toBe('CN=codat.example.com');
    expect(client.subjectAltName).toBe('DNS:codat.example.com');
    expect(client.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  });

  it('is valid from a few minutes ago for --days', () => {
    const { validFromDate, validToDate } = certificate('client');
    const sinceMinutes = (Date.now() - validFromDate.getTime()) / 60_000;
    const forDays = (validToDate.getTime() - Date.now()) / 86_400_000;
    expect(sinceMinutes).toBeGreaterThan(4.9);
    expect(sinceMinutes).toBeLessThan(15);
    expect(Math.round(forDays)).toBe(30);
  });

  it('gives each certificate a positive serial number of 16 octets of its own', () => {
    const serials = ['ca', 'server', 'client'].map((name) => certificate(name).serialNumber);
    expect(new Set(serials).size).toBe(3);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  it("holds the client's key, a blank line and its certificate in the bundle, with Unix line ends", () => {
    expect(file('client-bundle.pem')).toBe(`${file('client.key')}\n${file('client.pem')}`);
    expect(file('client-bundle.pem')).toMatch(
      /^-----BEGIN PRIVATE KEY-----\n[^-\r]+-----END PRIVATE KEY-----\n\n-----BEGIN CERTIFICATE-----\n[^-\r]+-----END CERTIFICATE-----\n$/,
    );
  });
});

describe('a set that is there', () => {
  beforeEach(() => {
    const complete = ALL.map(
      (name) => [name, readFileSync(join(root, 'made', 'by', 'certs', name))] as const,
    );
    folder = mkdtempSync(join(root, 'copy-'));
    for (const [name, bytes] of complete) writeFileSync(join(folder, name), bytes);
  });

  it('is left as it is, with exit code 0', async () => {
    const before = snapshot();
    const again = await runCommand(['certs', '--out', folder, '--host', 'other.example.com']);
    expect(again).toMatchObject({ exitCode: 0, stderr: '' });
    expect(again.stdout).toContain('Nothing to do');
    for (const name of ALL) expect(again.stdout).toMatch(new RegExp(`kept +${name} `));
    expect(snapshot()).toEqual(before);
  });

  it('gets a missing leaf from the CA that is there, and nothing else changes', async () => {
    const { 'server.key': _key, 'server.pem': _pem, ...before } = snapshot();
    remove('server.key', 'server.pem');
    const { exitCode, stdout } = await runCommand(['certs', '--out', folder]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/written +server\.key/);
    expect(stdout).toMatch(/kept +ca\.key/);
    expect(issuedByCa(certificate('server'))).toBe(true);
    expect(snapshot()).toMatchObject(before);
  });

  it('gets a removed certificate renewed for the key that is there', async () => {
    const { publicKey, serialNumber } = certificate('client');
    remove('client.pem', 'client-bundle.pem');
    expect(await runCommand(['certs', '--out', folder])).toMatchObject({ exitCode: 0 });
    expect(certificate('client').publicKey.equals(publicKey)).toBe(true);
    expect(certificate('client').serialNumber).not.toBe(serialNumber);
    expect(file('client-bundle.pem')).toContain(file('client.pem'));
  });

  it('is complete without the key of its CA', async () => {
    remove('ca.key');
    expect(await runCommand(['certs', '--out', folder])).toMatchObject({ exitCode: 0 });
    expect(readdirSync(folder)).not.toContain('ca.key');
  });

  it.each([
    { missing: ['ca.key', 'server.pem'], says: 'the key of ca.pem, is not there' },
    { missing: ['ca.key', 'ca.pem'], says: 'is there without ca.pem' },
    { missing: ['client.key'], says: 'client.pem is there without its key client.key' },
    { missing: ['client.pem'], says: 'client-bundle.pem is there without client.pem' },
  ])('is refused whole with exit code 1 without $missing', async ({ missing, says }) => {
    remove(...missing);
    const before = snapshot();
    const refused = await runCommand(['certs', '--out', folder]);
    expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
    expect(refused.stderr).toContain(says);
    expect(snapshot()).toEqual(before);
  });

  it.each([
    { name: 'ca.key', text: 'nothing', says: 'ca.key is not an unencrypted RSA private key in PEM' },
    { name: 'ca.pem', text: 'nothing', says: 'ca.pem is not a certificate in PEM' },
    { name: 'ca.key', copyOf: 'client.key', says: 'ca.key is not the private key of' },
    { name: 'ca.pem', copyOf: 'client.pem', says: 'ca.pem is not the certificate of a CA' },
  ])('is refused with exit code 1 where $name cannot sign: $says', async ({ name, text, copyOf, says }) => {
    writeFileSync(join(folder, name), text ?? file(copyOf ?? ''));
    remove('server.key', 'server.pem');
    const refused = await runCommand(['certs', '--out', folder]);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain(says);
    expect(readdirSync(folder)).not.toContain('server.key');
  });
});

describe('wrong use', () => {
  it.each([
    [['--days', '0']],
    [['--days', 'many']],
    [['--host', 'no host']],
    [['--client-name', 'a/b']],
    [['--unknown']],
  ])('%j ends with exit code 2', async (args) => {
    const { exitCode, stderr } = await runCommand(['certs', '--out', join(root, 'unused'), ...args]);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^error: /);
    expect(readdirSync(root)).not.toContain('unused');
  });

  it('a folder that is a file ends with exit code 1 and a sentence that names it', async () => {
    const path = join(root, 'a-file');
    writeFileSync(path, '');
    const { exitCode, stderr } = await runCommand(['certs', '--out', path]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`cannot make certificates in ${path}`);
  });

  it('--help shows an example', async () => {
    const { exitCode, stdout } = await runCommand(['certs', '--help']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Example:\n  postern certs --host');
  });
});

function file(name: string): string {
  return readFileSync(join(folder, name), 'utf8');
}

function certificate(name: string): X509Certificate {
  return new X509Certificate(file(`${name}.pem`));
}

function issuedByCa(leaf: X509Certificate): boolean {
  const ca = certificate('ca');
  return leaf.checkIssued(ca) && leaf.verify(ca.publicKey) && !leaf.ca;
}

function remove(...names: string[]): void {
  for (const name of names) rmSync(join(folder, name));
}

function snapshot(): Record<string, string> {
  return Object.fromEntries(readdirSync(folder).map((name) => [name, file(name)]));
}
