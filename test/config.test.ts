import { createPublicKey, generateKeyPairSync, KeyObject } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { findAmbiguities } from '../src/config/ambiguity.ts';
import { EXAMPLE_SECRETS } from '../src/config/example-secrets.ts';
import { schemaText } from '../src/config/json-schema.ts';
import { loadConfig } from '../src/config/load.ts';
import { ConfigError } from '../src/config/problems.ts';
import { loadSender, senderNames } from '../src/config/senders.ts';
import { configurationTable } from '../src/config/table.ts';
import { makeCertificateFolder } from './config/certificates.ts';
import { violations } from './config/json-schema.ts';

const ROOT = resolve(import.meta.dirname, '..');
const GOLDEN = join(import.meta.dirname, 'config');
const UPDATE = process.env.UPDATE_GOLDEN === '1';
const certs = await makeCertificateFolder();

const SECRETS = {
  CODAT_SECRET: 'whsec_bm90LWEtcmVhbC1zZWNyZXQtYnV0LWxvbmctZW5vdWdo',
  OTHER_SECRET: 'whsec_YW5vdGhlci1zZWNyZXQtdGhhdC1pcy1sb25nLWVub3VnaA==',
  BAD_SECRET: 'whsec_n0t*base64*at*all',
  BEARER: 'bearer-of-the-golden-tests',
  PASSWORD: 'password-of-the-golden-tests',
};
const pem = (name: string): string => readFileSync(join(certs, name), 'utf8');
const publicPem = (key: KeyObject): string => key.export({ format: 'pem', type: 'spki' }).toString();
const env = {
  ...SECRETS,
  ATTEST_KEY: pem('attest.key'),
  ATTEST_PUBLIC: pem('attest.pub'),
  ATTEST_ENCRYPTED: pem('attest-encrypted.key'),
  EC_KEY: pem('server.key'),
  RSA_KEY: pem('weak.key'),
  RSA_PUBLIC: publicPem(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey),
  RSA_WEAK: publicPem(createPublicKey(pem('weak.key'))),
  CERTIFICATE: pem('server.pem'),
  // What a substitution brings in is not read again.
  NESTED: `\${BEARER}`,
  EXAMPLE_SECRET: [...EXAMPLE_SECRETS][0],
  CERTS: certs,
  EMPTY: '',
  NAME: 'named',
  PORT: '9443',
  PRIVATE_KEY: '-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----',
  SENDER: 'secret-sender-name',
  YES: 'true',
};

// Whatever umask it was checked out with: a file that all may read draws a warning.
chmodSync(join(GOLDEN, 'good/senders/one-line.txt'), 0o644);
for (const folder of ['good/secrets', 'good/secrets-of-one', 'bad/secrets'])
  for (const name of readdirSync(join(GOLDEN, folder))) chmodSync(join(GOLDEN, folder, name), 0o600);

afterAll(() => rmSync(certs, { recursive: true }));

function namesIn(kind: 'good' | 'bad'): string[] {
  return readdirSync(join(GOLDEN, kind)).filter((name) => name.endsWith('.yaml'));
}

function load(kind: 'good' | 'bad', name: string): ReturnType<typeof loadConfig> {
  return loadConfig(relative(process.cwd(), join(GOLDEN, kind, name)), env);
}

function problemsOf(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

/** The text without what differs from machine to machine. */
function portable(text: string, kind: 'good' | 'bad'): string {
  const folder = join(GOLDEN, kind);
  return text
    .replaceAll(certs, 'CERTS')
    .replaceAll(folder, 'FOLDER')
    .replaceAll(ROOT, 'ROOT')
    .replaceAll(`${relative(process.cwd(), folder)}/`, '');
}

/** Compares with the golden file, or writes it. */
function expectGolden(file: string, text: string): void {
  if (UPDATE) writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, 'utf8'));
}

function summaryOf({ settings, warnings }: ReturnType<typeof loadConfig>): string {
  const replace = (_key: string, value: unknown): unknown => {
    if (value instanceof KeyObject)
      return value.type === 'secret' ? `secret of ${value.symmetricKeySize} bytes` : value.type;
    if (value instanceof Map) return Object.fromEntries(value);
    if (typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer')
      return 'file';
    if (typeof value === 'string' && value.startsWith('-----BEGIN')) return 'PEM';
    return value === undefined ? 'undefined' : value;
  };
  const { routes, shown: _shown, ...rest } = settings;
  const shown = routes.map((route) => ({
    ...route,
    sender: route.sender?.name,
    upstream: route.upstream.name,
  }));
  return `${JSON.stringify({ ...rest, routes: shown, warnings }, replace, 2)}\n`;
}

describe('a bad configuration is refused with every mistake in it', () => {
  test.each(namesIn('bad'))('%s', (name) => {
    const problems = problemsOf(() => load('bad', name));
    const text = portable(`${problems.join('\n')}\n`, 'bad');
    expect(problems.length).toBeGreaterThan(0);
    expect(new Set(problems).size).toBe(problems.length);
    for (const line of text.trimEnd().split('\n'))
      expect(line).toMatch(/^[\w/.-]+\.yaml:\d+:\d+ \S.*[^.\s]$/);
    for (const secret of Object.values(SECRETS)) expect(text).not.toContain(secret);
    expect(text).not.toMatch(/hunter2|secret-sender-name|MfKQ9r8|BEGIN [A-Z ]*KEY/);
    expectGolden(join(GOLDEN, 'bad', name.replace('.yaml', '.txt')), text);
  });
});

describe('a good configuration becomes settings', () => {
  test.each(namesIn('good'))('%s', (name) => {
    const text = portable(summaryOf(load('good', name)), 'good');
    expectGolden(join(GOLDEN, 'good', name.replace('.yaml', '.json')), text);
  });
});

describe('the files that are shipped', () => {
  test('config/postern.schema.json is what the code says (npm run schema writes it)', () => {
    expect(readFileSync(join(ROOT, 'config/postern.schema.json'), 'utf8')).toBe(schemaText());
  });

  test.each(['config/postern.yaml', ...namesIn('good').map((name) => `test/config/good/${name}`)])(
    'an editor that knows the schema accepts %s',
    (name) => {
      expect(violations(JSON.parse(schemaText()), parse(readFileSync(join(ROOT, name), 'utf8')))).toEqual([]);
    },
  );

  test.each(['unknown-keys.yaml', 'durations.yaml', 'booleans.yaml', 'wrong-kinds.yaml'])(
    'an editor that knows the schema marks what is wrong in %s',
    (name) => {
      const value: unknown = parse(readFileSync(join(GOLDEN, 'bad', name), 'utf8'));
      expect(violations(JSON.parse(schemaText()), value)).not.toEqual([]);
    },
  );

  test('config/postern.yaml needs nothing but certificates and the values of .env.example', () => {
    const example = parseEnv(readFileSync(join(ROOT, '.env.example'), 'utf8'));
    const problems = problemsOf(() =>
      loadConfig(join(ROOT, 'config/postern.yaml'), example as NodeJS.ProcessEnv),
    );
    expect(
      problems.filter((line) => !/ tls\.\w+: cannot read \S+: there is no such file$/.test(line)),
    ).toEqual([]);
  });

  test('every value of .env.example is known as one that keeps nobody out', () => {
    const example = parseEnv(readFileSync(join(ROOT, '.env.example'), 'utf8'));
    expect(new Set(Object.values(example))).toEqual(EXAMPLE_SECRETS);
  });

  test('every built-in sender profile can be read', () => {
    const names = senderNames(certs);
    expect(names).toEqual(expect.arrayContaining(['codat', 'codat-alerts', 'standard-webhooks', 'svix']));
    for (const name of names) expect(loadSender(name, certs).name).toBe(name);
  });

  test('every key of the table has a meaning', () => {
    for (const row of configurationTable().trimEnd().split('\n').slice(2)) {
      expect(row).toMatch(/^\| `[\w.[\]]+` \| \S.*\. \| .* \|$/);
    }
  });
});

test('a sender name is no path', () => {
  expect(() => loadSender('../senders/codat', join(ROOT, 'config'))).toThrow(ConfigError);
  expect(loadSender('codat', join(ROOT, 'config')).deadlineMs).toBe(15_000);
});

test('a missing file is one problem that names its resolved path', () => {
  const file = join(certs, 'no-such.yaml');
  expect(problemsOf(() => loadConfig(file, env))).toEqual([
    `${file}:1:1 cannot read ${file}: there is no such file`,
  ]);
});

test('one trailing newline of a secret file is dropped, LF or CRLF, and no more', () => {
  const configuration = (file: string): string =>
    `tls: { certificate: ${certs}/server.pem, private_key: ${certs}/server.key, client_ca: ${certs}/ca.pem }\n` +
    'upstreams: { ledger: http://127.0.0.1:9000 }\n' +
    `routes: [{ name: a, path: /a, addresses: any, upstream: ledger, authorization: [{ bearer: "\${file:${file}}" }] }]\n`;
  for (const [ending, right] of [
    ['', true],
    ['\n', true],
    ['\r\n', true],
    ['\n\n', false],
  ] as const) {
    writeFileSync(join(certs, 'token'), `token-of-the-test${ending}`);
    writeFileSync(join(certs, 'postern.yaml'), configuration('token'));
    const problems = problemsOf(() => loadConfig(join(certs, 'postern.yaml'), env));
    expect(problems.length).toBe(right ? 0 : 1);
  }
});

test('a certificate that expires within 30 days is a warning with its date, not an error', () => {
  const file = join(certs, 'soon.yaml');
  writeFileSync(
    file,
    'tls: { certificate: soon.pem, private_key: server.key, client_ca: ca.pem }\n' +
      'upstreams: { ledger: http://127.0.0.1:9000 }\n' +
      'routes: [{ name: a, path: /a, addresses: any, upstream: ledger }]\n',
  );
  const date = new Date(Date.now() + 10 * 86_400_000).toISOString().slice(0, 10);
  expect(loadConfig(file, env).warnings).toEqual([
    `tls.certificate: certificate 1 of 1 (CN=gate.example.com) expires on ${date}; renew it`,
  ]);
});

describe('ambiguity among 10,000 routes is found in under two seconds', () => {
  const many = (headers: (index: number) => Record<string, string>) =>
    Array.from({ length: 10_000 }, (_, index) => ({
      index,
      path: '/codat/events',
      host: undefined,
      headers: Object.entries(headers(index)).map(([name, value]) => ({ name, value })),
    }));

  test.each([
    ['one path, a client each', (i: number): Record<string, string> => ({ client: `c${i}` }), 0],
    [
      'two headers, the second in common with nobody',
      (i: number): Record<string, string> => ({ client: `c${i}`, [`h${i}`]: '1' }),
      0,
    ],
    ['all alike', (): Record<string, string> => ({ client: 'c' }), 9_999],
    ['a header of its own each', (i: number): Record<string, string> => ({ [`h${i}`]: '1' }), 9_999],
  ])('%s', (_name, headers, expected) => {
    const started = performance.now();
    expect(findAmbiguities(many(headers)).length).toBe(expected);
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});
