import fc from 'fast-check';
import { readCorpus } from '../front/corpus.ts';
import { streams } from '../front/generate.ts';
import { mutations } from '../front/mutate.ts';
import { BASIC, KEY, TOKEN } from './world.ts';

/** What one sender says on one connection: latin1 text with placeholders, and where it is cut into pieces. */
export interface Speech {
  readonly text: string;
  /** Places, modulo the length. */
  readonly cuts: readonly number[];
}

const SMUGGLED = 'POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nsmuggled';
const method = fc.oneof(
  { weight: 12, arbitrary: fc.constant('POST') },
  fc.constantFrom('GET', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'),
);
/** The paths of the routes, with what makes sense to send there. */
const CREDENTIALS: Readonly<Record<string, readonly string[]>> = {
  '/token': [`Authorization: Bearer ${TOKEN}`],
  '/vault/x': [`Authorization: Bearer ${TOKEN}`],
  '/pass': [`Authorization: Bearer ${TOKEN}`],
  '/both': [`Authorization: Bearer ${TOKEN}`],
  '/basic': [`Authorization: Basic ${Buffer.from(`${BASIC.username}:${BASIC.password}`).toString('base64')}`],
  '/key': [`X-Api-Key: ${KEY}`],
  '/tenant': ['X-Tenant: b'],
};
const SIGNED: readonly string[] = ['/signed', '/svix', '/both'];
const path = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...Object.keys(CREDENTIALS), ...SIGNED) },
  { weight: 4, arbitrary: fc.constantFrom('/open', '/small', '/post', '/mapped/a', '/fixed', '/keyed') },
  { weight: 3, arbitrary: fc.constantFrom('/refused', '/strict/path', '/strict/a', '/rated', '/certified') },
  fc.constantFrom(
    '/TOKEN',
    '/token/',
    '/%74oken',
    '/token;a',
    '/token%20',
    '/vault;a/x',
    '/hosted',
    '//token',
  ),
  fc.constantFrom('/a/../token', '/a%2f..%2ftoken', '/token#', '/a\\b', 'http://a/token', '*', '/VAULT/x'),
);
const query = fc.oneof({ weight: 5, arbitrary: fc.constant('') }, fc.constantFrom('?', '?a=b', '?a=/../b'));
const host = fc.oneof(
  { weight: 8, arbitrary: fc.constant('a') },
  fc.constantFrom(
    'open.example.com',
    'OPEN.example.com.:1',
    'closed.example.com',
    'Closed.Example.com.',
    '[::1]:8443',
  ),
);
const credential = fc.oneof(
  { weight: 6, arbitrary: fc.constant('right') },
  fc.constantFrom('none', 'none', 'twice', 'wrong', 'underscore'),
);
const signature = fc.oneof(
  { weight: 6, arbitrary: fc.constant('right') },
  fc.constantFrom('none', 'other body', 'id twice', 'both families', 'other family', 'stale', 'same event'),
);
const field = fc.constantFrom(
  'X-Marker: 1',
  'X-Forwarded-For: 10.0.0.1',
  'x-forwarded-host: internal',
  'X_Forwarded_For: 10.0.0.1',
  'Forwarded: for=10.0.0.1',
  'X-Real-IP: 10.0.0.1',
  'Client-Cert: :AAAA:',
  'X-Client-Verify: SUCCESS',
  'X-Postern-Route: vault',
  'X-Request-Id: forged',
  'x-internal-key: guess',
  'X-HTTP-Method-Override: DELETE',
  'X-Original-URL: /token',
  'Connection: keep-alive',
  'Connection: close',
  'Connection: authorization',
  'Connection: TE, Upgrade',
  'Upgrade: h2c',
  'Expect: 100-continue',
  'Trailer: authorization',
  'TE: trailers',
  'Content-Type: application/json',
  'Cookie: a=b',
  'Cookie: c=d',
  'webhook-id: msg_other',
  'X-Tenant: a',
  'Content_Length: 0',
  'Transfer.Encoding: chunked',
);
const body = fc.oneof(
  { weight: 2, arbitrary: fc.constant('') },
  { weight: 2, arbitrary: fc.stringMatching(/^[a-z0-9 ]{1,12}$/) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(SMUGGLED, '0\r\n\r\n', `0\r\n\r\n${SMUGGLED}`, '\r\n\r\n', 'GET /'),
  },
  fc
    .array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 20 })
    .map((codes) => String.fromCharCode(...codes)),
);
const framing = fc.oneof(
  { weight: 6, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 9 }) },
);

/** One request, mostly one that is let in. `{{run}}` makes its event's id its own. */
const request = fc
  .record({
    method,
    path,
    query,
    host,
    credential,
    signature,
    fields: fc.array(field, { maxLength: 3 }),
    body,
    framing,
    number: fc.integer({ min: 0, max: 9999 }),
  })
  .map((one) => {
    const lines = [`Host: ${one.host}`, ...credentialsOf(one.path, one.credential)];
    if (SIGNED.includes(one.path)) lines.push(...signatureOf(one));
    lines.push(...one.fields);
    const framed = one.framing > 0 ? chunked(one.body, one.framing) : one.body;
    if (one.framing > 0) lines.push('Transfer-Encoding: chunked');
    else if (one.body !== '') lines.push(`Content-Length: ${one.body.length}`);
    const head = lines.map((line) => `${line}\r\n`).join('');
    return `${one.method} ${one.path}${one.query} HTTP/1.1\r\n${head}\r\n${framed}`;
  });

function credentialsOf(at: string, how: string): readonly string[] {
  const right = CREDENTIALS[at] ?? [];
  if (how === 'none') return [];
  if (how === 'twice') return [...right, ...right];
  if (how === 'wrong') return right.map((line) => `${line}x`);
  return how === 'underscore' ? right.map((line) => line.replace(/-|:/, '_$&')) : right;
}

function signatureOf(one: { path: string; signature: string; body: string; number: number }): string[] {
  const id = `msg_{{run}}_${one.signature === 'same event' ? 'same' : one.number}`;
  const own = one.path === '/svix' ? 'svix' : 'webhook';
  const other = own === 'svix' ? 'webhook' : 'svix';
  const signedBody = one.signature === 'other body' ? `${one.body}x` : one.body;
  const time = one.signature === 'stale' ? '{{time-400}}' : '{{time}}';
  const lines = (family: string): string[] => [
    `${family}-id: ${id}`,
    `${family}-timestamp: ${time}`,
    `${family}-signature: {{v1 ${id} ${signedBody}}}`,
  ];
  if (one.signature === 'none') return [];
  if (one.signature === 'other family') return lines(other);
  if (one.signature === 'both families') return [...lines(own), ...lines(other)];
  return one.signature === 'id twice' ? [...lines(own), `${own}-id: ${id}`] : lines(own);
}

function chunked(text: string, size: number): string {
  const parts = text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? [];
  return `${parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')}0\r\n\r\n`;
}

/** One to three senders at once; `known` are streams to begin from. */
export function speeches(known: readonly string[]): fc.Arbitrary<Speech[]> {
  const start = fc.oneof(
    { weight: 8, arbitrary: fc.array(request, { minLength: 1, maxLength: 4 }).map((all) => all.join('')) },
    { weight: 2, arbitrary: fc.constantFrom(...known) },
    streams(readCorpus()),
  );
  const text = fc.oneof(
    { weight: 3, arbitrary: start },
    {
      weight: 3,
      arbitrary: fc
        .tuple(start, mutations(fc.oneof(request, fc.constantFrom(...known))))
        .map(([bytes, changes]) => changes.reduce((changed, change) => change(changed), bytes)),
    },
  );
  const cuts = fc.oneof(fc.constant([]), fc.array(fc.nat(65_535), { maxLength: 4 }));
  return fc.array(fc.record({ text, cuts }), { minLength: 1, maxLength: 3 });
}
