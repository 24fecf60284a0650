import { createHmac, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Webhook } from 'svix';
import { afterAll, describe, expect, test } from 'vitest';
import { explainCommand } from '../src/cli/explain.ts';
import { createAuthority, defaults } from './support/ca.ts';
import { type CommandResult, runCommand } from './support/command.ts';
import { runHere } from './support/command-here.ts';
import { newSecret } from './support/secrets.ts';
import { SENDERS } from './support/signing-senders.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-explain-'));
afterAll(() => rmSync(folder, { recursive: true }));
const put = (name: string, content: string | Buffer): string => {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
};

const { authority, server, client } = await defaults();
const strangeAuthority = await createAuthority('a stranger');
const stranger = await strangeAuthority.issue({ commonName: 'sender' });
const [ours, other, bearer, strangers] = [newSecret(), newSecret(), randomUUID(), newSecret()];
const token = `token-${randomUUID()}`;
const signers = SENDERS.filter(({ name }) => name !== 'gitlab');
const secrets = [
  ...[ours, other, strangers].flatMap((secret) => {
    const text = secret.slice('whsec_'.length);
    const bytes = Buffer.from(text, 'base64');
    return [text, bytes.toString('hex'), bytes.toString('latin1'), bytes.toString('base64url')];
  }),
  ...[bearer, token],
  ...signers.filter(({ isPublic }) => !isPublic).flatMap(({ keys }) => keys),
];
const route = (name: string, more: object) => ({
  name,
  path: `/${name}`,
  addresses: 'any',
  certificate: 'none',
  upstream: 'service',
  ...more,
});
const config = put(
  'postern.yaml',
  JSON.stringify({
    tls: {
      certificate: put('server.pem', server.certificate),
      private_key: put('server.key', server.key),
      client_ca: put('ca.pem', authority.certificate),
      client_certificate: 'optional',
    },
    upstreams: { service: 'http://127.0.0.1:1' },
    routes: [
      route('events', { sender: 'codat', signature: { secrets: [newSecret(), ours] } }),
      route('ledger', { sender: 'svix', signature: { secrets: [other] } }),
      route('strict', {
        addresses: ['203.0.113.0/24'],
        certificate: { names: ['CN:sender'] },
        authorization: [{ bearer }],
        rate_limit: { rate: '1/s', by: 'address' },
        body_limit: '1KiB',
        methods: ['POST'],
      }),
      route('wanted', {
        sender: 'codat',
        signature: { secrets: [ours] },
        filter: { events: ['read.*'], tags: ['region:us'] },
      }),
      route('token', { signature: { scheme: 'token', header: 'x-token', secrets: [token] } }),
      ...signers.map(({ name, keys, isPublic }) =>
        route(name, { sender: name, signature: { [isPublic ? 'public_keys' : 'secrets']: keys } }),
      ),
    ],
  }),
);

const readable = await runCommand(['check', '--config', config]);
if (readable.exitCode !== 0) throw new Error(readable.stderr);

interface Explained extends CommandResult {
  readonly json: {
    readonly let_in: boolean;
    readonly reason?: string;
    readonly route?: string;
    readonly time_from: string;
    readonly checks: readonly { check: string; answer: string; reason?: string; detail?: string }[];
    readonly signature?: {
      readonly secrets_tried: number;
      readonly skew_seconds?: number;
      readonly families: readonly string[];
      readonly versions: Record<string, number>;
      readonly findings: readonly { kind: string; sentence: string; route?: string }[];
    };
    readonly notes: readonly string[];
  };
}

let captures = 0;
/** Explains a capture, and holds every answer to what none may hold: a secret, or what a terminal acts on. */
async function explain(capture: string | Buffer, ...more: string[]): Promise<Explained> {
  captures += 1;
  const file = put(`${captures}.capture`, capture);
  const args = ['--config', config, '--request', file, '--json', ...more];
  const result = await runHere(explainCommand, args);
  const said = result.stdout + result.stderr;
  expect(said).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  for (const secret of secrets) expect(said).not.toContain(secret);
  return { ...result, json: result.stdout === '' ? undefined : JSON.parse(result.stdout) };
}

const at = new Date('2026-01-31T12:00:00Z');
const atS = at.getTime() / 1000;
const later = (seconds: number) => new Date(at.getTime() + seconds * 1000).toISOString();
type Fields = readonly (readonly [string, string])[];

function svixFields(body: string, by = ours, family = 'webhook'): Fields {
  return [
    [`${family}-id`, 'msg_1'],
    [`${family}-timestamp`, String(atS)],
    [`${family}-signature`, new Webhook(by).sign('msg_1', at, body)],
  ];
}

function raw(path: string, fields: Fields, body: string | Buffer): Buffer {
  const bytes = Buffer.from(body);
  const lines = [['Host', 'localhost'], ...fields, ['Content-Length', String(bytes.length)]];
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${head}\r\n`), bytes]);
}

const kinds = ({ json }: Explained) => json.signature?.findings.map(({ kind }) => kind);
const answers = ({ json }: Explained) =>
  Object.fromEntries(json.checks.map(({ check, answer, reason }) => [check, reason ?? answer]));

describe('what would be let in', () => {
  const body = '{"id":"a","eventType":"read.completed"}';

  test('as raw HTTP, judged at its signing where nobody says when it came', async () => {
    const said = await explain(raw('/events', svixFields(body), body));
    expect(said.exitCode).toBe(0);
    expect(said.json).toMatchObject({ let_in: true, route: 'events', time_from: 'signature' });
    expect(answers(said)).toEqual({
      request: 'passed',
      route: 'passed',
      method: 'passed',
      load: 'not_judged',
      authorization: 'passed',
      body: 'passed',
      signature: 'passed',
    });
    expect(said.json.checks.at(-1)?.detail).toBe('secret 2 of 2');
  });

  test.each(signers)('by the scheme of $name', async ({ name, headers, body }) => {
    const text = body(atS);
    const said = await explain(raw(`/${name}`, headers(text, atS, 1), text), '--time', at.toISOString());
    expect([said.exitCode, said.json.let_in]).toEqual([0, true]);
  });

  test('as JSON, with all that a handshake knows', async () => {
    const said = await explain(
      JSON.stringify({
        method: 'POST',
        path: '/strict?a=b',
        headers: { host: 'localhost', authorization: `Bearer ${bearer}` },
        body: 'text',
        peer: { address: '203.0.113.9', certificate: { names: ['CN:sender'], not_after: later(60) } },
        time: at.toISOString(),
      }),
    );
    expect(said.exitCode).toBe(0);
    expect(answers(said)).toMatchObject({
      address: 'passed',
      certificate: 'passed',
      'rate by address': 'not_judged',
      authorization: 'passed',
    });
  });

  test('chunked, its chunks put together', async () => {
    const fields = svixFields(body).map(([name, value]) => `${name}: ${value}\r\n`);
    const chunks = `5\r\n${body.slice(0, 5)}\r\n${(body.length - 5).toString(16)}\r\n${body.slice(5)}\r\n0\r\n\r\n`;
    const head = `POST /events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n${fields.join('')}\r\n`;
    expect((await explain(head + chunks)).exitCode).toBe(0);
  });
});

describe('each check', () => {
  const capture = raw('/strict', [['Authorization', 'Bearer wrong']], 'x'.repeat(2000));

  test('is asked, also behind one that refuses; what is not known is not judged', async () => {
    const said = await explain(capture);
    expect([said.exitCode, said.json.reason]).toEqual([1, 'authorization.wrong']);
    expect(answers(said)).toMatchObject({
      address: 'not_judged',
      certificate: 'not_judged',
      authorization: 'authorization.wrong',
      body: 'body.too_large',
    });
  });

  test('goes by what the options say of the connection', async () => {
    const good = await explain(
      capture,
      '--address',
      '203.0.113.9',
      '--certificate',
      put('c.pem', client.certificate),
    );
    expect(answers(good)).toMatchObject({ address: 'passed', certificate: 'passed' });
    const bad = await explain(
      capture,
      '--address',
      '203.0.114.9',
      '--certificate',
      put('s.pem', stranger.certificate),
    );
    expect(answers(bad)).toMatchObject({
      address: 'address.not_allowed',
      certificate: 'certificate.untrusted',
    });
    const late = await explain(capture, '--certificate', join(folder, 'c.pem'), '--time', '2099-01-01');
    expect(answers(late).certificate).toBe('certificate.expired');
    expect(answers(await explain(capture, '--no-certificate')).certificate).toBe('certificate.missing');
  });

  test('judges a certificate by its chain, and not by a root that came along with it', async () => {
    const below = await (await authority.intermediate('between')).issue({ commonName: 'sender' });
    const whole = await explain(capture, '--certificate', put('i.pem', below.certificate));
    expect(answers(whole).certificate).toBe('passed');
    const [leaf = ''] = below.certificate.split(/(?<=-----END CERTIFICATE-----\n)/);
    const cut = await explain(capture, '--certificate', put('l.pem', leaf));
    expect(answers(cut).certificate).toBe('certificate.untrusted');
    const own = stranger.certificate + strangeAuthority.certificate;
    const brought = await explain(capture, '--certificate', put('r.pem', own));
    expect(answers(brought).certificate).toBe('certificate.untrusted');
    const serverOnly = await explain(capture, '--certificate', put('x.pem', server.certificate));
    expect(answers(serverOnly).certificate).toBe('certificate.untrusted');
  });

  test.each([
    ['passed', undefined, '{"eventType":"read.a","payload":{"referenceCompany":{"tags":{"region":"us"}}}}'],
    [
      'passed',
      /^filtered: /,
      '{"eventType":"read.a","payload":{"referenceCompany":{"tags":{"region":"uk"}}}}',
    ],
    ['passed', /^filtered: /, '{"eventType":"write.a","payload":{}}'],
    ['filter.malformed', /JSON/, 'not JSON'],
  ])('a filter: %s, %s', async (answer, detail, body) => {
    const said = await explain(raw('/wanted', svixFields(body), body), '--address', '4.159.114.108');
    expect(answers(said)).toMatchObject({ signature: 'passed', filter: answer });
    const step = said.json.checks.find(({ check }) => check === 'filter');
    if (detail === undefined) expect(step?.detail).toBeUndefined();
    else expect(step?.detail).toMatch(detail);
  });

  test('no route, another method, and a route that was named', async () => {
    expect((await explain(raw('/nowhere', [], ''))).json.reason).toBe('route.not_found');
    const got = await explain('GET /strict HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(answers(got).method).toBe('route.method_not_allowed');
    const named = await explain(raw('/nowhere', [], ''), '--route', 'events');
    expect(answers(named)).toMatchObject({ route: 'not_judged', signature: 'signature.missing' });
  });
});

describe('a signature that does not hold', () => {
  const body = '{"id": "ä/1", "n": 1.0}';

  test('for its time: by how many seconds', async () => {
    const said = await explain(raw('/events', svixFields(body), body), '--time', later(4000));
    expect([said.exitCode, said.json.reason]).toEqual([1, 'signature.stale']);
    expect(said.json.signature).toMatchObject({
      skew_seconds: 4000,
      secrets_tried: 2,
      families: ['webhook'],
      versions: { v1: 1 },
    });
    expect(kinds(said)).toEqual(['time.stale']);
    expect(said.json.signature?.findings[0]?.sentence).toContain('signed 4000 s before it came, and 300 s');
    expect(kinds(await explain(raw('/events', svixFields(body), body), '--time', later(-400)))).toEqual([
      'time.early',
    ]);
  });

  const python = '{"id": "\\u00e4/1", "n": 1.0}';
  test.each<[string, string, string | Buffer]>([
    ['body.newline.added', body, `${body}\n`],
    ['body.newline.lost', `${body}\n`, body],
    ['body.newline.lost', `${body}\r\n`, body],
    ['body.lines.crlf', '{\n}', '{\r\n}'],
    ['body.lines.lf', '{\r\n}', '{\n}'],
    ['body.encoding.latin1', body, Buffer.from(Buffer.from(body).toString('latin1'))],
    ['body.encoding.utf8', body, Buffer.from(body, 'latin1')],
    ['body.encoding.bom', body, `\ufeff${body}`],
    ['body.encoding.bom', `\ufeff${body}`, body],
    ['body.encoding.base64', body, Buffer.from(body).toString('base64')],
    ['body.json.reserialised', '{"id":"ä/1","n":1.0}', body],
    ['body.json.reserialised', '{"id":"ä/1","n":1}', body],
    ['body.json.reserialised', '{\n  "id": "ä/1",\n  "n": 1.0\n}', body],
    ['body.json.reserialised', python, '{"id":"ä/1","n":1.0}'],
    ['body.json.reserialised', '{"id":"\\u00e4\\/1","n":1.0}', body],
    ['body.json.reserialised', '{"a":1,"b":9007199254740993}', '{"b":9007199254740993,"a":1}'],
  ])('but for another body: %s %#', async (kind, signed, arrived) => {
    const said = await explain(raw('/events', svixFields(signed), arrived));
    expect([said.exitCode, said.json.reason]).toEqual([1, 'signature.mismatch']);
    expect(kinds(said)).toEqual([kind]);
  });

  test('but by the secret of another route, which is named', async () => {
    const said = await explain(raw('/events', svixFields(body, other), body));
    expect(said.json.signature?.findings).toMatchObject([{ kind: 'secret.route', route: 'ledger' }]);
  });

  test('but by the secret of another route for another body, two mistakes at once', async () => {
    const said = await explain(raw('/events', svixFields(body, other), `${body}\n`));
    expect(said.json.signature?.findings).toMatchObject([
      { kind: 'secret.route+body.newline.added', route: 'ledger' },
    ]);
  });

  test('by no secret that is known', async () => {
    const said = await explain(raw('/events', svixFields(body, strangers), body));
    expect(kinds(said)).toEqual(['secret.unknown']);
    const late = await explain(raw('/events', svixFields(body, strangers), body), '--time', later(4000));
    expect(kinds(late)).toEqual(['secret.unknown', 'time.stale']);
  });

  test("but by the secret's text, which the sender did not decode", async () => {
    const mac = createHmac('sha256', ours).update(`msg_1.${atS}.${body}`).digest('base64');
    const fields = svixFields(body).map(([name, value]) =>
      name === 'webhook-signature' ? ([name, `v1,${mac}`] as const) : ([name, value] as const),
    );
    expect(kinds(await explain(raw('/events', fields, body)))).toEqual(['secret.text']);
  });

  test('but by the headers of one family', async () => {
    const forged = svixFields(body, strangers).map(([name, value]) => [name, value] as const);
    const said = await explain(raw('/events', [...svixFields(body, ours, 'svix'), ...forged], body));
    expect(said.json.reason).toBe('signature.malformed');
    expect(said.json.signature?.families).toEqual(['webhook', 'svix']);
    expect(kinds(said)).toContain('headers.family');
  });

  test('since there is none, or only one of a version or a sender that is not expected', async () => {
    expect(kinds(await explain(raw('/events', [], body)))).toContain('headers.missing');
    const fields = svixFields(body).map(([name, value]) => [name, value.replace('v1,', 'v1a,')] as const);
    expect(kinds(await explain(raw('/events', fields, body)))).toContain('headers.version');
    const github = signers.find(({ name }) => name === 'github');
    const said = await explain(raw('/events', github?.headers(body, atS, 0) as Fields, body));
    expect(kinds(said)).toEqual(['headers.missing', 'secret.route', 'headers.x-hub-signature-256']);
  });

  test.each(signers)('by the scheme of $name, for a line break that was added', async (signer) => {
    const text = signer.body(atS);
    const fields = signer.headers(text, atS, 0);
    const said = await explain(raw(`/${signer.name}`, fields, `${text}\n`), '--time', at.toISOString());
    expect(said.exitCode).toBe(1);
    expect(kinds(said)).toContain('body.newline.added');
  });

  test.each(signers.filter(({ toleranceS }) => toleranceS !== undefined))(
    'by the scheme of $name, for its time',
    async (signer) => {
      const text = signer.body(atS);
      const said = await explain(
        raw(`/${signer.name}`, signer.headers(text, atS, 0), text),
        '--time',
        later(1000),
      );
      expect(said.json.signature?.skew_seconds).toBe(1000);
      expect(kinds(said)).toEqual(['time.stale']);
    },
  );

  test('but for the URL that the sender knows', async () => {
    const twilio = signers.find(({ name }) => name === 'twilio');
    const text = twilio?.body(atS) ?? '';
    const capture = raw('/twilio', twilio?.headers(text, atS, 0) as Fields, text)
      .toString('latin1')
      .replace('Host: localhost', 'Host: localhost:8443');
    const said = await explain(capture);
    expect(kinds(said)).toEqual(['url.origin']);
    expect(said.json.signature?.findings[0]?.sentence).toContain('with https://localhost before the path');
  });

  test('but in another encoding than is declared', async () => {
    const github = signers.find(({ name }) => name === 'github');
    const mac = createHmac('sha256', github?.keys[0] ?? '')
      .update(body)
      .digest('base64');
    const said = await explain(raw('/github', [['X-Hub-Signature-256', `sha256=${mac}`]], body));
    expect(kinds(said)).toContain('scheme.encoding');
    expect(said.stdout).not.toContain(mac);
  });

  test('of a token: what stands around it, and never what it is', async () => {
    expect((await explain(raw('/token', [['X-Token', token]], body))).exitCode).toBe(0);
    const dressed = await explain(raw('/token', [['X-Token', `Bearer ${token}`]], body));
    expect(kinds(dressed)).toEqual(['token.dressed']);
    expect(kinds(await explain(raw('/token', [['X-Token', token.slice(1)]], body)))).toEqual([
      'secret.unknown',
    ]);
  });
});

describe('captures', () => {
  test('in a table: each check a line, then the signature, then the answer', async () => {
    const file = put('table.capture', raw('/events', svixFields('a'), 'b'));
    const { stdout, exitCode } = await runCommand(['explain', '--config', config, '--request', file]);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^request +passed +POST \/events$/m);
    expect(stdout).toMatch(/^signature +refused +signature\.mismatch: 2 secrets tried$/m);
    expect(stdout).toMatch(/^It would be refused: signature\.mismatch, status 401/m);
  });

  test('that an editor has been at are read, and it is said', async () => {
    const text = raw('/events', svixFields('a'), 'a').toString('latin1').replaceAll('\r\n', '\n');
    const said = await explain(`${text}\n`);
    expect(said.exitCode).toBe(0);
    expect(said.json.notes.join()).toMatch(/bare line feeds.*1 more, which are left out/s);
    const cut = await explain(raw('/events', svixFields('abc'), 'abc').subarray(0, -1));
    expect(cut.json.notes.join()).toContain('Content-Length says 3 bytes and the capture has 2');
  });

  const attack = '\u001b]0;owned\u0007\u009b31m\u202e';
  const path = `/events${attack}`;
  test.each([
    JSON.stringify({ path, headers: {} }),
    JSON.stringify({ path: '/events', headers: {}, peer: { address: attack } }),
    raw(path, [], attack),
    JSON.stringify({ path, headers: [['webhook-signature', `${attack},x`]], body: attack }),
    JSON.stringify({ path: '/events', headers: { [attack]: attack }, body: attack }),
    JSON.stringify({ path: '/events', headers: { 'webhook-signature': `v\u009b31m,${attack}` } }),
    JSON.stringify({ path: '/events', headers: { a: 'b\r\nwebhook-id: c' } }),
    JSON.stringify({ path: '/events', headers: { a: 'b'.repeat(20_000_000) } }),
    JSON.stringify({ path: '/events', headers: { [attack]: 1 } }),
    raw(path, [[attack, attack]], attack),
    raw('/events', [['webhook-signature', `v\x9b31m,a`]], attack),
  ])('cannot make a terminal do anything %#', async (capture) => {
    expect([1, 2]).toContain((await explain(capture)).exitCode);
    const file = put('hostile.capture', capture);
    const { stdout, stderr } = await runCommand(['explain', '--config', config, '--request', file]);
    expect(stdout + stderr).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  });

  const secret = 'do-not-quote-me';
  test.each([
    `{"headers": {"authorization": "${secret}`,
    `{"headers": "${secret}"}`,
    `{"path": "/events", "headers": [["${secret}"]]}`,
    `{"path": "/events", "headers": {}, "body": {"a": "${secret}"}}`,
    `{"path": "/events", "headers": {}, "time": "${secret}"}`,
    `{"path": "/events", "headers": {}, "body_base64": "${secret}!"}`,
    `{"a":${'['.repeat(200_000)}`,
    '{"headers": {"__proto__": {"a": 1}}, "path": 1}',
    `{"path": "/events", "headers": [${'["a","b"],'.repeat(1_000_000)}["a","b"]]}`,
  ])('that are hostile JSON end in a sentence that does not quote them %#', async (capture) => {
    const said = await explain(capture);
    expect(said.exitCode).toBe(2);
    expect(said.stderr).not.toContain(secret);
    expect(said.stderr).not.toMatch(/^\s+at /m);
  });

  test('with bodies made to hurt are explained all the same', async () => {
    for (const body of ['['.repeat(100_000), '{"__proto__":{"a":1},"a":1,"a":2}', '"\\ud800"', '\xff\xfe']) {
      const said = await explain(raw('/events', svixFields('a'), body));
      expect(kinds(said)).toEqual(['secret.unknown']);
    }
  });

  test('are bounded, whatever they are', async () => {
    const args = ['explain', '--config', config, '--request'];
    const zero = await runCommand([...args, '/dev/zero']);
    expect([zero.exitCode, zero.stderr]).toEqual([
      2,
      '/dev/zero is larger than 67108864 bytes; give one request\n',
    ]);
    const none = await runCommand([...args, join(folder, 'none')]);
    expect([none.exitCode, none.stderr]).toEqual([2, `cannot read ${join(folder, 'none')}: ENOENT\n`]);
    const headless = await explain('a'.repeat(100_000));
    expect(headless.exitCode).toBe(2);
  });

  test('are asked for by a right command: 2 for a wrong one, 78 for a wrong configuration', async () => {
    const capture = raw('/events', [], '');
    for (const wrong of [
      ['--route', 'none'],
      ['--address', 'here'],
      ['--time', 'soon'],
      ['--certificate', config],
    ])
      expect((await explain(capture, ...wrong)).exitCode).toBe(2);
    expect((await runCommand(['explain', '--config', config])).exitCode).toBe(2);
    const file = put('a.capture', capture);
    const bad = await runCommand(['explain', '--config', put('bad.yaml', 'a: 1'), '--request', file]);
    expect(bad.exitCode).toBe(78);
  });
});
