import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { probeCommand } from '../src/cli/probe.ts';
import { runCommand } from './support/command.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { requestLine } from './support/log-line.ts';
import { named, probe } from './support/probing.ts';
import { BASIC, prepareSending, SECRET, signing } from './support/sending.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const { folder, file, ca, asCodat, asAlerts } = prepareSending();
const OLD_SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
const BEARER = 'a-token-of-the-probe';
const bearer = `Authorization: Bearer ${BEARER}`;
const issuer = ['--issuer', file('ca.pem'), '--issuer-key', file('ca.key')];

let upstream: Upstream;
let gateway: Gateway;
beforeAll(async () => {
  upstream = await startUpstream();
  const events = {
    sender: 'codat',
    addresses: 'any',
    authorization: [{ bearer: BEARER }],
    signature: { secrets: [SECRET, OLD_SECRET] },
    upstream: 'app',
  };
  const names = ['server.pem', 'server.key', 'ca.pem'];
  gateway = await startGateway(
    {
      tls: {
        certificate: 'server.pem',
        private_key: 'server.key',
        client_ca: 'ca.pem',
        client_certificate: 'optional',
      },
      upstreams: { app: upstream.url },
      routes: [
        { name: 'events', path: '/codat/events', ...events },
        { name: 'queued', path: '/codat/queued', ...events, deliver: 'queue' },
        {
          name: 'alerts',
          path: '/codat/alerts',
          sender: 'codat-alerts',
          certificate: 'none',
          addresses: 'any',
          authorization: [{ basic: { username: 'codat', password: 'password' } }],
          upstream: 'app',
        },
        {
          name: 'limited',
          path: '/codat/limited',
          ...events,
          rate_limit: { rate: '20/s', burst: 5, by: 'address' },
        },
      ],
    },
    { files: Object.fromEntries(names.map((name) => [name, readFileSync(file(name), 'utf8')])) },
  );
});
const urlOf = (path: string): string => `https://localhost:${gateway.port}${path}`;
const everything = () => ({
  ca: file('ca.pem'),
  bundle: file('client-bundle.pem'),
  issuer: file('ca.pem'),
  issuerKey: file('ca.key'),
  header: [bearer],
  secret: [SECRET, OLD_SECRET],
});

describe('Postern', () => {
  it('does in every case what is right, and nothing doubtful, where it forwards', async () => {
    const env = { POSTERN_SEND_SECRET: `${SECRET} ${OLD_SECRET}` };
    const args = ['probe', urlOf('/codat/events'), ...asCodat, '--header', bearer, ...issuer, '--strict'];
    const { exitCode, stdout, stderr } = await runCommand(args, env);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(
      /^Probing https:\/\/localhost:\d+\/codat\/events as codat: \d+ cases, one request at a time, in less than a minute\.\n/,
    );
    expect(stdout).toContain('their type is postern.probe');
    expect(stdout).toMatch(/\nok {10}good {22}200 {39}accepted \(2xx\)\n {12}A good event\. /);
    expect(stdout).toMatch(/\nleft out {4}stalled {19}it is slow: try it with --slow\n/);
    expect(stdout).toContain(
      'Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md\n',
    );
    expect(stdout).toMatch(
      /\n\d+ cases in [\d.]+ s: \d+ as is right, 0 doubtful, 0 missed, 0 not judged, 2 left out\.\n$/,
    );
    for (const secret of [BEARER, SECRET, OLD_SECRET]) expect(stdout).not.toContain(secret);
  });

  it('refuses each forgery for what is wrong with it', async () => {
    const since = gateway.lines.length;
    const results = await probe(urlOf('/codat/events'), everything());
    expect(named(results, 'miss')).toEqual([]);
    const sent = results.reduce((count, { came }) => count + came.length, 0);
    const records = () => gateway.lines.slice(since).flatMap((line) => requestLine(line) ?? []);
    await gateway.line(() => records().length >= sent);
    const reasons = records().flatMap(({ reason }) => reason ?? []);
    expect(reasons).toEqual([
      'signature.malformed',
      ...Array<string>(4).fill('signature.mismatch'),
      ...Array<string>(4).fill('signature.missing'),
      'signature.malformed',
      ...Array<string>(5).fill('signature.mismatch'),
      'signature.stale',
      'signature.early',
      ...Array<string>(4).fill('signature.malformed'),
      'signature.repeated',
      'route.method_not_allowed',
      ...Array<string>(4).fill('target.ambiguous'),
      ...['route.not_found', 'route.not_found', 'target.ambiguous', 'route.not_found'],
      ...['route.not_found', 'route.not_found', 'target.ambiguous'],
      ...Array<string>(3).fill('request.malformed'),
      ...['authorization.missing', 'authorization.wrong'],
      ...['certificate.missing', 'certificate.untrusted', 'certificate.expired'],
      ...['certificate.untrusted', 'certificate.untrusted'],
    ]);
  });

  it('passes every good event on once, and each names itself a probe', async () => {
    const before = upstream.requests.length;
    const results = await probe(urlOf('/codat/events'), everything());
    expect(named(results, 'miss')).toEqual([]);
    const delivered = upstream.requests.slice(before);
    const field = (raw: readonly string[], name: string): string =>
      raw[raw.findIndex((text, place) => place % 2 === 0 && text.toLowerCase() === name) + 1] ?? '';
    const ids = delivered.map(({ rawHeaders }) => field(rawHeaders, 'webhook-id'));
    expect(ids.length).toBeGreaterThan(15);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^msg_postern_probe_[0-9a-f]{24}$/);
    for (const { body, rawHeaders } of delivered) {
      expect(field(rawHeaders, 'user-agent')).toMatch(/^postern-probe\/\d/);
      if (body.includes('this is no JSON') || body.length === 0) continue;
      expect(JSON.parse(body.toString())).toMatchObject({ eventType: 'postern.probe' });
    }
  });

  it('does what is right where it answers from the disk, with a 202', async () => {
    const results = await probe(urlOf('/codat/queued'), everything());
    expect(named(results, 'miss')).toEqual([]);
    expect(named(results, 'doubtful')).toEqual([]);
    expect(results[0]).toMatchObject({ came: [{ kind: 'answer', status: 202 }] });
  });

  it('does what is right for alerts, which nobody signs and no certificate comes with', async () => {
    const args = ['probe', urlOf('/codat/alerts'), ...asAlerts, '--strict'];
    const { exitCode, stdout } = await runCommand(args, signing);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/\nleft out {4}stale +codat-alerts does not sign\n/);
    expect(stdout).toMatch(/\nleft out {4}no-certificate +codat-alerts presents no client certificate\n/);
    expect(stdout).toMatch(/\nok {10}wrong-authorization +401 /);
    expect(stdout).toMatch(/\nok {10}look-alike-paths +400 \(\d times\), 404 \(\d times\) /);
  });

  it('sees each field once where a custom one takes the place of the probe’s own', async () => {
    const before = upstream.requests.length;
    const header = [bearer, 'HOST: hooks.example', 'User-Agent: somebody', 'Content-Type: text/plain'];
    const results = await probe(urlOf('/codat/events'), {
      ...everything(),
      header,
      only: ['names-in-capitals'],
    });
    expect(results.map(({ verdict }) => verdict)).toEqual(['right', 'right']);
    const [seen] = upstream.requests.slice(before);
    const of = (name: string) =>
      seen?.rawHeaders.filter((_, place) => seen.rawHeaders[place - 1]?.toLowerCase() === name);
    expect(of('x-forwarded-host')).toEqual(['hooks.example']);
    expect(of('user-agent')).toEqual(['somebody']);
    expect(of('content-type')).toEqual(['text/plain']);
  });

  it('is waited for where it asks to come again in a second', async () => {
    const results = await probe(urlOf('/codat/limited'), {
      ...everything(),
      only: ['retry', 'stale', 'look-alike-paths'],
    });
    expect(results.map(({ verdict }) => verdict)).toEqual(['right', 'right', 'right', 'right']);
  });

  it('takes a slow body and gives up one that stalls, which is tried with --slow alone', async () => {
    const results = await probe(urlOf('/codat/events'), {
      ...everything(),
      slow: true,
      only: ['slow', 'stalled'],
    });
    expect(results.map(({ verdict }) => verdict)).toEqual(['right', 'right', 'right']);
    expect(results[2]).toMatchObject({ came: [{ kind: 'answer', status: 408 }] });
  }, 60_000);
});

describe('the answer of a probe', () => {
  it('is one JSON object for each case with --json, what is for people going to stderr', async () => {
    const args = [
      'probe',
      urlOf('/codat/alerts'),
      ...asAlerts,
      '--only',
      'unsigned',
      '--only',
      'resend',
      '--json',
    ];
    const { exitCode, stdout, stderr } = await runCommand(args);
    expect(exitCode).toBe(0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { case: 'good', verdict: 'right', came: [{ kind: 'answer', status: 200 }], expected: 'accepted (2xx)' },
      { case: 'resend', verdict: 'right', came: [{ status: 200 }, { status: 200 }] },
      { case: 'unsigned', verdict: 'left_out', note: 'codat-alerts does not sign', came: [] },
    ]);
    expect(stderr).toMatch(/^Probing .*\n3 cases in \d+ m?s: 2 as is right, /s);
  });

  it('is exit code 1 and nothing else tried where the good event is not accepted', async () => {
    const wrong = { POSTERN_SEND_SECRET: OLD_SECRET.replace('Bw', 'Cw') };
    const { exitCode, stdout } = await runCommand(
      ['probe', urlOf('/codat/events'), ...asCodat, '--header', bearer],
      wrong,
    );
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/\nMISS {8}good +401 /);
    expect(stdout).toMatch(
      /1 missed.*\nThe good event was not accepted, so \d+ further cases were not tried/,
    );
  });
});

describe('what was not given', () => {
  it('is said, case by case', async () => {
    const results = await probe(urlOf('/codat/alerts'), {
      sender: 'svix',
      signature: false,
      certificate: false,
      ca: file('ca.pem'),
      header: [BASIC],
    });
    const notes = new Set(results.filter(({ verdict }) => verdict === 'left out').map(({ note }) => note));
    expect([...notes].sort()).toEqual([
      'it is slow: try it with --slow',
      'no client certificate was given',
      'no signing secret was given',
    ]);
  });
});

describe('wrong use ends with exit code 2 and a sentence:', () => {
  const url = 'https://localhost:1/';
  it.each([
    ['no URL', [], "missing required argument 'url'"],
    ['a URL without TLS', ['http://localhost/', ...asCodat], 'is not a URL to send to'],
    ['no secret', [url, ...asCodat], 'set POSTERN_SEND_SECRET'],
    ['no bundle', [url, '--secret', SECRET], 'give --bundle FILE'],
    [
      'a case that is none',
      [url, ...asAlerts, '--only', 'all'],
      '--only all: there is no such case; there are good,',
    ],
    [
      'an authority without its key',
      [url, ...asCodat, '--secret', SECRET, '--issuer', file('ca.pem')],
      '--issuer and --issuer-key go together',
    ],
    [
      'an authority without a certificate that it has issued',
      [url, ...asAlerts, ...issuer],
      'it goes together with --bundle',
    ],
    [
      'an authority that has not issued it',
      [
        url,
        ...asCodat,
        '--secret',
        SECRET,
        '--issuer',
        file('client.pem'),
        '--issuer-key',
        file('client.key'),
      ],
      'was not issued by',
    ],
    [
      'another authority’s key',
      [url, ...asCodat, '--secret', SECRET, '--issuer', file('ca.pem'), '--issuer-key', file('client.key')],
      'is not that of the certificate in',
    ],
    [
      'a key that is none',
      [
        url,
        ...asCodat,
        '--secret',
        SECRET,
        '--issuer',
        file('ca.pem'),
        '--issuer-key',
        join(folder, 'nothing'),
      ],
      'holds no unencrypted private key',
    ],
  ])('%s', async (_what, args, sentence) => {
    writeFileSync(join(folder, 'nothing'), '');
    const command = probeCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    await expect(command.parseAsync(args, { from: 'user' })).rejects.toMatchObject({
      message: expect.stringContaining(sentence),
    });
  });

  it('as a process', async () => {
    const { exitCode, stdout, stderr } = await runCommand(['probe', 'localhost', ...ca]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain('localhost is not a URL to send to');
  });
});
