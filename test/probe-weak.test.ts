import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { ServerOptions } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { Webhook } from 'svix';
import { describe, expect, it, type TestContext } from 'vitest';
import type { Result } from '../src/cli/probe/run.ts';
import { type CarefulOptions, type Parts, startCareful } from './support/careful-receiver.ts';
import { runCommand } from './support/command.ts';
import { named, probe } from './support/probing.ts';
import { prepareSending, SECRET, signing } from './support/sending.ts';

const { file } = prepareSending();
const AUTHORIZATION = 'Bearer a-token-of-the-probe';
const OLD_SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;

/** Starts a careful receiver with this flaw. */
async function startFlawed(
  { onTestFinished }: TestContext,
  flaw: NonNullable<CarefulOptions['flaw']>,
  tls: ServerOptions = {},
  other: Partial<CarefulOptions> = {},
): Promise<string> {
  const receiver = await startCareful({
    tls: {
      key: readFileSync(file('server.key')),
      cert: readFileSync(file('server.pem')),
      ca: readFileSync(file('ca.pem')),
      requestCert: true,
      rejectUnauthorized: true,
      ...tls,
    },
    path: '/in/events',
    authorization: AUTHORIZATION,
    secrets: [SECRET, OLD_SECRET],
    flaw,
    ...other,
  });
  onTestFinished(() => receiver.close());
  return receiver.url;
}

/** Probes it with all that a probe can be given. */
async function probeFlawed(...given: Parameters<typeof startFlawed>): Promise<Result[]> {
  return probe(await startFlawed(...given), {
    ca: file('ca.pem'),
    bundle: file('client-bundle.pem'),
    issuer: file('ca.pem'),
    issuerKey: file('ca.key'),
    header: [`Authorization: ${AUTHORIZATION}`],
    secret: [SECRET, OLD_SECRET],
  });
}

describe.concurrent('a receiver that somebody else wrote', () => {
  it('is right in every case where it is careful, but for what Node’s own server lets pass', async (test) => {
    const results = await probeFlawed(test, () => ({}));
    expect(named(results, 'miss')).toEqual([]);
    expect(named(results, 'not judged')).toEqual([]);
    expect(named(results, 'left out')).toEqual(['slow', 'stalled']);
    expect(named(results, 'doubtful')).toEqual(['two-hosts']);
    expect(named(results, 'right').length).toBeGreaterThan(50);
  });

  it('is found to verify text and not bytes where it relies on the svix package', async (test) => {
    const webhook = new Webhook(SECRET);
    const results = await probeFlawed(test, () => ({
      verify: (request: IncomingMessage, body: Buffer) => {
        try {
          webhook.verify(body.toString(), request.headers as Record<string, string>);
          return true;
        } catch {
          return false;
        }
      },
    }));
    expect(named(results, 'miss')).toEqual(['old-secret-alone', 'other-bytes-same-text']);
    expect(named(results, 'doubtful')).toEqual(['time-with-junk', 'id-with-dot', 'two-hosts']);
  });
});

/** What a receiver does wrong, and the cases that are missed for it, all of them. */
const FLAWS: readonly (readonly [string, (careful: Parts) => Partial<Parts>, readonly string[]])[] = [
  ['checks no time', () => ({ isFresh: () => true }), ['stale', 'future']],
  [
    'checks for old events alone',
    () => ({ isFresh: (time) => Date.now() / 1000 - Number.parseInt(time, 10) < 300 }),
    ['future'],
  ],
  [
    'looks at the first signature alone',
    () => ({ candidates: (header) => header.split(' ').slice(0, 1) }),
    ['rotated-old-first', 'eleven-signatures', 'unknown-version-beside'],
  ],
  [
    'fails at a version it does not know',
    ({ candidates }) => ({
      candidates: (header) => {
        if (/v9,/.test(header)) throw new Error('unknown version');
        return candidates(header);
      },
    }),
    ['unknown-version-beside'],
  ],
  [
    'takes any version for the one it knows',
    ({ isEqual }) => ({
      isEqual: (given, expected) => isEqual(given.replace(/^\w+,/, ''), expected.replace(/^\w+,/, '')),
    }),
    ['other-version'],
  ],
  [
    'compares as much of a signature as there is',
    () => ({ isEqual: (given, expected) => expected.startsWith(given) }),
    ['empty-signature', 'half-signature'],
  ],
  ['decodes the body first', () => ({ signedBody: (body) => body.toString() }), ['other-bytes-same-text']],
  ['trims the body', () => ({ signedBody: (body) => body.toString('latin1').trim() }), ['trailing-newline']],
  [
    'verifies the JSON as it would write it',
    () => ({ signedBody: (body) => JSON.stringify(JSON.parse(String(body))) }),
    ['trailing-newline', 're-serialised', 'odd-json', 'other-bytes-same-text'],
  ],
  ['answers copies with 409', () => ({ acknowledge: (turn) => (turn > 1 ? 409 : 200) }), ['resend', 'retry']],
  [
    'falls over copies that come while it works',
    () => ({
      acknowledge: async (turn, body) => {
        if (!body.includes('copy-in-flight')) return 200;
        await pause(100);
        return turn > 0 ? 500 : 200;
      },
    }),
    ['copy-in-flight'],
  ],
  ['takes what is for another path', () => ({ elsewhere: () => 200 }), ['look-alike-paths']],
  [
    'checks no Authorization',
    () => ({ isAuthorized: () => true }),
    ['no-authorization', 'wrong-authorization'],
  ],
  [
    'compares the first half of a token',
    () => ({ isAuthorized: (value) => value?.slice(0, 16) === AUTHORIZATION.slice(0, 16) }),
    ['wrong-authorization'],
  ],
  [
    'spells field names its own way',
    () => ({
      field: (request, name) => {
        const place = request.rawHeaders.indexOf(name);
        return place < 0 ? undefined : request.rawHeaders[place + 1];
      },
    }),
    ['names-in-capitals'],
  ],
  [
    'takes the first piece of a body for the whole',
    () => ({
      readBody: (request) =>
        new Promise((resolve) => {
          request.once('data', resolve).once('end', () => resolve(Buffer.alloc(0)));
          request.once('error', () => resolve(Buffer.alloc(0)));
        }),
    }),
    ['in-pieces'],
  ],
  [
    'waits for ever for a body in chunks',
    () => ({
      readBody: (request) =>
        request.headers['transfer-encoding'] === undefined ? buffer(request) : new Promise(() => {}),
    }),
    ['chunked'],
  ],
];

describe.concurrent('the weakness of a receiver that', () => {
  for (const [what, flaw, missed] of FLAWS) {
    it(`${what} is found, and no other`, async (test) => {
      const results = await probeFlawed(test, flaw);
      expect(named(results, 'miss')).toEqual(missed);
      expect(named(results, 'not judged')).toEqual([]);
    });
  }

  it('has let the old secret go before the sender has the new one is found', async (test) => {
    const results = await probeFlawed(test, () => ({}), {}, { secrets: [SECRET] });
    expect(named(results, 'miss')).toEqual(['old-secret-alone']);
  });

  it('checks no signature is found in every case that has a forged one', async (test) => {
    const results = await probeFlawed(test, () => ({ verify: () => true }));
    expect(named(results, 'miss')).toEqual([
      ...['other-body', 'trailing-newline', 're-serialised', 'other-bytes-same-text'],
      ...['unsigned', 'without-id', 'without-timestamp', 'without-signature', 'empty-signature'],
      ...['half-signature', 'other-secret', 'other-version', 'other-id', 'other-time', 'stale', 'future'],
    ]);
  });

  it('asks for no certificate is found', async (test) => {
    const results = await probeFlawed(test, () => ({ isTrusted: () => true }), {
      requestCert: false,
      rejectUnauthorized: false,
    });
    expect(named(results, 'miss')).toEqual(['no-certificate', 'other-authority', 'expired', 'not-yet-valid']);
    expect(named(results, 'doubtful')).toContain('server-certificate');
  });

  it('goes by the names in a certificate, whoever made it, is found', async (test) => {
    const isTrusted: Parts['isTrusted'] = (socket) =>
      socket.getPeerX509Certificate()?.subject === 'CN=codat-client.example';
    const results = await probeFlawed(test, () => ({ isTrusted }), { rejectUnauthorized: false });
    expect(named(results, 'miss')).toEqual(['other-authority', 'expired', 'not-yet-valid']);
  });

  it('says yes before it has looked is found', async (test) => {
    const results = await probeFlawed(test, () => ({ refuse: () => 202, elsewhere: () => 202 }));
    for (const name of ['unsigned', 'stale', 'other-body', 'no-authorization', 'look-alike-paths'])
      expect(named(results, 'miss')).toContain(name);
    expect(named(results, 'miss')).not.toContain('good');
  });

  it('locks the sender out after a forgery is found, though it refused all that is to be refused', async (test) => {
    let isLocked = false;
    const results = await probeFlawed(test, ({ isAuthorized }) => ({
      isAuthorized: (value) => !isLocked && isAuthorized(value),
      refuse: () => {
        isLocked = true;
        return 401;
      },
    }));
    expect(named(results, 'miss')).toContain('good-at-last');
    expect(named(results, 'miss')).not.toContain('stale');
  });
});

describe.concurrent('the exit code', () => {
  const args = [
    ...['--ca', file('ca.pem'), '--bundle', file('client-bundle.pem')],
    ...['--header', `Authorization: ${AUTHORIZATION}`],
  ];
  const codeOf = async (url: string, ...more: readonly string[]) =>
    (await runCommand(['probe', url, ...args, ...more], signing)).exitCode;

  it('is 0 where something is doubtful, and 1 where it is with --strict', async (test) => {
    const url = await startFlawed(test, () => ({}));
    expect(await codeOf(url, '--only', 'two-hosts')).toBe(0);
    expect(await codeOf(url, '--only', 'two-hosts', '--strict')).toBe(1);
    expect(await codeOf(url, '--only', 'stale', '--strict')).toBe(0);
  });

  it('is 1 where something was missed', async (test) => {
    const url = await startFlawed(test, () => ({ isFresh: () => true }));
    expect(await codeOf(url, '--only', 'other-id')).toBe(0);
    expect(await codeOf(url, '--only', 'stale')).toBe(1);
  });

  it('is 1 where something could not be judged', async (test) => {
    const url = await startFlawed(test, () => ({ refuse: () => 429 }));
    expect(await codeOf(url, '--only', 'retry')).toBe(0);
    expect(await codeOf(url, '--only', 'stale', '--timeout', '500ms')).toBe(1);
  });
});
