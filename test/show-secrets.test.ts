import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { configurationJsonSchema, type JsonSchema } from '../src/config/json-schema.ts';
import { loadConfig } from '../src/config/load.ts';
import { makeCertificateFolder } from './config/certificates.ts';

const certs = await makeCertificateFolder();
afterAll(() => rmSync(certs, { recursive: true }));

/** Every place of the schema that takes a text, as `routes[].path`, with its schema. */
function texts(schema: JsonSchema, place: string): [string, JsonSchema][] {
  const { anyOf, properties, items, additionalProperties: free } = schema;
  if (anyOf !== undefined) return anyOf.flatMap((form) => texts(form, place));
  if (items !== undefined) return texts(items, `${place}[]`);
  if (typeof free === 'object') return texts(free, `${place}.*`);
  if (properties === undefined) return schema.type === 'string' ? [[place, schema]] : [];
  return Object.entries(properties).flatMap(([key, child]) =>
    texts(child, place === '' ? key : `${place}.${key}`),
  );
}

/** Every text in shown data, by the same names of places. */
function shownTexts(value: unknown, place: string): [string, string][] {
  if (Array.isArray(value)) return value.flatMap((item) => shownTexts(item, `${place}[]`));
  if (typeof value !== 'object' || value === null) return [[place, String(value)]];
  return Object.entries(value).flatMap(([key, child]) => {
    const isFree = /(?:^upstreams|\.headers)$/.test(place);
    return shownTexts(child, isFree ? `${place}.*` : place === '' ? key : `${place}.${key}`);
  });
}

/** What `defaults` holds is shown, and marked, in the routes that take it. */
const PLACES = texts(configurationJsonSchema(), '').filter(([place]) => !place.startsWith('defaults.'));

describe('what is a secret', () => {
  /** Places where any text may stand and that are shown all the same. A new one goes here, or is marked `secret`. */
  const OPEN = new Set([
    'admin.address',
    'listen.address',
    'listen.trusted_proxies[]',
    'log.destination',
    'routes[].addresses',
    'routes[].addresses[]',
    'routes[].addresses.list',
    'routes[].addresses.list[]',
    'routes[].attest.key_id',
    'routes[].authorization[].header.name',
    'routes[].authorization.list[].header.name',
    'routes[].certificate.names[]',
    'routes[].clients.header',
    'routes[].clients.known[].certificate.names[]',
    'routes[].clients.known[].id',
    'routes[].clients.known[].public_keys[]',
    'routes[].clients.known[].rate_limit.by',
    'routes[].clients.known[].rate_limit[].by',
    'routes[].clients.known[].upstream',
    'routes[].clients.known[].upstream_path',
    'routes[].filter.events[]',
    'routes[].filter.tags[]',
    'routes[].headers.*',
    'routes[].host',
    'routes[].name',
    'routes[].ordered',
    'routes[].path',
    'routes[].rate_limit.by',
    'routes[].rate_limit[].by',
    'routes[].sender',
    'routes[].signature.body_hash',
    'routes[].signature.content',
    'routes[].signature.header',
    'routes[].signature.id.body',
    'routes[].signature.id.header',
    'routes[].signature.origin',
    'routes[].signature.prefix',
    'routes[].signature.public_keys[]',
    'routes[].signature.separator',
    'routes[].signature.timestamp.body',
    'routes[].signature.timestamp.element',
    'routes[].signature.timestamp.header',
    'routes[].transform',
    'routes[].transform.file',
    'routes[].upstream',
    'routes[].upstream_path',
    'state.path',
    'state.prefix',
    'tls.hosts[].names[]',
    'upstreams.*',
    'upstreams.*.targets[]',
  ]);
  const LIKE_SECRETS = [
    'hunter2-hunter2',
    'a-b-c',
    'https://app',
    'redis://:hunter2@redis:6379/0',
    'header:x-a',
  ];
  const couldBeSecret = ({ pattern = '', format }: JsonSchema): boolean =>
    format !== 'pem-file' &&
    LIKE_SECRETS.some((text) => new RegExp(pattern.replace('|\\$\\{', '')).test(text));

  test('is decided for every key that takes a text', () => {
    const undecided = PLACES.filter(
      ([place, schema]) => schema.writeOnly !== true && couldBeSecret(schema) && !OPEN.has(place),
    );
    expect(undecided.map(([place]) => place)).toEqual([]);
  });

  test('is never shown, wherever the schema takes one', () => {
    const env = {
      BEARER: 'bearer-of-the-show-tests',
      CERTS: certs,
      CODAT_SECRET: 'whsec_bm90LWEtcmVhbC1zZWNyZXQtYnV0LWxvbmctZW5vdWdo',
      PASSWORD: 'password-of-the-show-tests',
      PORT: '9443',
      ATTEST_KEY: readFileSync(join(certs, 'attest.key'), 'utf8'),
    };
    const files = ['every-key.yaml', 'state-redis.yaml'];
    const shown = files.map((name) => loadConfig(`test/config/good/${name}`, env).settings.shown);
    const all = shown.flatMap((one) => shownTexts(one, ''));
    const secrets = PLACES.flatMap(([place, { writeOnly }]) => (writeOnly ? [place] : []));
    expect(all.filter(([place]) => place.startsWith('defaults'))).toEqual([]);
    expect(secrets.length).toBeGreaterThan(6);
    for (const secret of secrets) {
      const values = all.flatMap(([place, value]) => (place === secret ? [value] : []));
      expect([secret, values.length > 0]).toEqual([secret, true]);
      for (const value of values) expect(value).toMatch(/^<secret: \d+ characters, sha256 [0-9a-f]{8}>$/);
    }
    const text = JSON.stringify(shown);
    for (const value of [
      env.BEARER,
      env.PASSWORD,
      env.CODAT_SECRET,
      'MfKQ9r8GKYq',
      'AAECAwQF',
      'p%40ss',
      'PRIVATE KEY',
    ])
      expect(text).not.toContain(value);
  });
});
