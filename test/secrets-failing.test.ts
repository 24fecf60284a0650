import { generateKeyPairSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { loadConfig } from '../src/config/load.ts';
import { ConfigError } from '../src/config/problems.ts';
import { makeCertificateFolder } from './config/certificates.ts';
import { baseTls, type Config, startAndEnd } from './support/gateway.ts';
import { Leaks } from './support/leaks.ts';
import { startUpstream } from './support/upstream.ts';

const leaks = new Leaks();
const env = {
  BEARER: leaks.mark('bearer'),
  USERNAME: leaks.mark('basic.username'),
  PASSWORD: leaks.mark('basic.password'),
  API_KEY: leaks.mark('header.value'),
  INTERNAL_KEY: leaks.mark('upstream header'),
  CHOOSING: leaks.mark('route header'),
  SIGNING: leaks.markSigning('signature'),
  ATTEST: leaks.mark('attest.key'),
  ADMIN: leaks.mark('admin.token'),
};
const folder = await makeCertificateFolder();
afterAll(() => rmSync(folder, { recursive: true }));

/** One of each place where a secret belongs, and some where none does. */
const tree = () => ({
  admin: { token: `\${ADMIN}` },
  tls: baseTls(),
  limits: { body: '1MiB' },
  log: { destination: 'stdout' },
  upstreams: {
    app: { targets: ['http://127.0.0.1:9000'], headers: { 'x-internal-key': `\${INTERNAL_KEY}` } },
  },
  routes: [
    {
      ...{ name: 'events', path: '/events', addresses: ['10.0.0.0/8'], sender: 'codat', upstream: 'app' },
      headers: { 'x-client': `\${CHOOSING}` },
      certificate: { names: ['DNS:codat.example.com'] },
      authorization: [
        { bearer: `\${BEARER}` },
        { basic: { username: `\${USERNAME}`, password: `\${PASSWORD}` } },
        { header: { name: 'x-api-key', value: `\${API_KEY}` } },
      ],
      signature: { secrets: [`\${SIGNING}`] },
      rate_limit: { rate: '5/s', by: 'route' },
      attest: { key: `\${ATTEST}`, key_id: 'first' },
    },
  ],
});

/** The same, of which a second route takes all but its name and path from `defaults`. */
const shared = () => {
  const { routes, ...rest } = tree();
  const [{ name: _name, path: _path, ...defaults }] = routes as [(typeof routes)[0]];
  const [first, second] = ['one', 'two'].map((name) => ({ name, path: `/${name}` }));
  return { ...rest, defaults, routes: [first, { ...second, body_limit: '1KiB' }] };
};

const CRASHING = `--import ${new URL('support/crashing.mjs', import.meta.url).href}`;
const crash = (way: string) => ({ NODE_OPTIONS: CRASHING, CRASH_AT_START: way });

test('the search finds a secret in every form that it is meant to find', () => {
  const text = env.BEARER;
  const key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  leaks.watchKey('a private key', key);
  const hex = Buffer.from(text).toString('hex');
  const forms = [
    text,
    text.toUpperCase(),
    JSON.stringify(text),
    encodeURIComponent(text),
    hex,
    hex.toUpperCase(),
  ];
  const inBase64 = ['', 'a', 'ab'].flatMap((before) =>
    (['base64', 'base64url'] as const).map((kind) => Buffer.from(`${before}${text}`).toString(kind)),
  );
  for (const form of [...forms, ...inBase64, hex.replace(/../g, '%$&')])
    expect([form, leaks.in(`before ${form} behind`).length > 0]).toEqual([form, true]);
  expect(leaks.in(key).length).toBeGreaterThan(0);
  expect(leaks.in(Buffer.from(env.SIGNING.slice(6), 'base64').toString('hex')).length).toBeGreaterThan(0);
  expect(leaks.in('nothing of the kind')).toEqual([]);
});

describe('no secret is told by a start that fails', () => {
  const starts: [string, { config?: Config; env?: Record<string, string>; code: number; words: RegExp }][] = [
    [
      'the port is taken',
      { config: { listen: { port: `\${TAKEN}` } }, code: 1, words: /listen\.port: .*in use/ },
    ],
    [
      'the admin port is taken',
      {
        config: { admin: { port: `\${TAKEN}`, token: `\${ADMIN}` } },
        code: 1,
        words: /admin\.port: .*in use/,
      },
    ],
    [
      'the state file is none',
      { config: { state: { path: 'token' } }, code: 78, words: /^state: .*token: / },
    ],
    [
      'the state cannot be written',
      { config: { state: { path: 'token/x' } }, code: 78, words: /^state: .*token\/x: / },
    ],
    [
      'the log cannot be written',
      { config: { log: { destination: 'token/x' } }, code: 78, words: /log\.destination: / },
    ],
    ['a secret is not set', { env: { BEARER: '' }, code: 78, words: /BEARER is set but empty/ }],
    [
      'an error is thrown meanwhile',
      { env: crash('error'), code: 1, words: /^postern: Error: thrown\n +at / },
    ],
    [
      'several are thrown as one',
      { env: crash('several'), code: 1, words: /^postern: AggregateError: several\n/ },
    ],
    ['something else is thrown', { env: crash('other'), code: 1, words: /^postern: Object was thrown\n$/ }],
  ];
  test.each(starts)('%s', async (_what, start) => {
    const taken = await startUpstream();
    const TAKEN = new URL(taken.url).port;
    const options = { env: { ...env, TAKEN, ...start.env }, files: { token: 'of no use' } };
    const { code, output } = await startAndEnd({ ...tree(), ...start.config }, options);
    await taken.close();
    expect(output).toMatch(start.words);
    expect([code, leaks.in(output)]).toEqual([start.code, []]);
  });
});

describe('no message about a configuration tells', () => {
  /** What is said of the tree with each of these values in each of these places. */
  function* messages(
    paths: readonly Path[],
    values: readonly unknown[],
    more = {},
    make: () => object = tree,
  ) {
    const file = join(folder, 'mutated.yaml');
    for (const path of paths)
      for (const value of values) {
        writeFileSync(file, stringify(replaced(make(), path, value)));
        try {
          loadConfig(file, { ...env, ...more });
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
          yield { path, value, message: error.message };
        }
      }
  }

  test('what a substitution brought in, whatever it stands in place of', () => {
    const marked = leaks.mark('a wrong configuration');
    const values = [
      `\${WRONG}`,
      `\${LONG}`,
      `a-\${WRONG}`,
      [`\${WRONG}`],
      { a: `\${WRONG}` },
      { ['$' + '{WRONG}']: 1 },
      `\${WRONG`,
    ];
    const more = { WRONG: marked, LONG: marked.repeat(20) };
    const inDefaults = pathsOf(shared()).filter(([top]) => top === 'defaults');
    const said = [...messages(pathsOf(tree()), values, more), ...messages(inDefaults, values, more, shared)];
    expect(said.length).toBeGreaterThan(400);
    for (const { path, value, message } of said)
      expect([path, value, leaks.in(message)]).toEqual([path, value, []]);
  });

  test('what was written into the file where a secret belongs', () => {
    const literal = leaks.mark('a secret in the file');
    const values = [` ${literal}`, `${literal}\n`, [literal], [[literal]], { a: literal }, { [literal]: 1 }];
    const paths = pathsOf(tree()).filter((path) =>
      /token|authorization|signature|internal|attest|private_key/.test(path.join('.')),
    );
    const inDefaults = pathsOf(shared()).filter((path) =>
      /^defaults\..*(?:auth|sign|attest)/.test(path.join('.')),
    );
    const said = [...messages(paths, values), ...messages(inDefaults, values, {}, shared)];
    expect(said.length).toBeGreaterThan(160);
    for (const { path, value, message } of said)
      expect([path, value, leaks.in(message)]).toEqual([path, value, []]);
  });
});

type Path = readonly (string | number)[];

/** Every place in plain data, the outermost first. */
function pathsOf(node: unknown, path: Path = []): Path[] {
  if (typeof node !== 'object' || node === null) return [path];
  return [
    path,
    ...Object.entries(node).flatMap(([key, child]) =>
      pathsOf(child, [...path, Array.isArray(node) ? Number(key) : key]),
    ),
  ];
}

function replaced(tree: unknown, path: Path, value: unknown): unknown {
  const copy = parse(stringify({ tree }));
  let node = copy;
  for (const step of ['tree', ...path.slice(0, -1)]) node = node[step];
  if (path.length === 0) copy.tree = value;
  else node[path.at(-1) as string] = value;
  return copy.tree;
}
