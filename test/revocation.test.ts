import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authority, createAuthority, type Identity } from './support/ca.ts';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { baseTls, type Config, type Gateway, startGateway } from './support/gateway.ts';
import type { LogLine } from './support/log-line.ts';
import { metricOf } from './support/metrics.ts';
import { reload } from './support/reload.ts';
import { type Connection, connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const DAY_MS = 86_400_000;

let upstream: Upstream;
let root: Authority;
let middle: Authority;
let other: Authority;
/** Of the root, of the intermediate (which comes with it), of the intermediate without it, of the other root. */
let direct: Identity;
let chained: Identity;
let bare: Identity;
let stranger: Identity;
/** Revoked ones. */
let revoked: Identity;
let revokedBelow: Identity;

beforeAll(async () => {
  upstream = await startUpstream();
  root = await createAuthority('Root CA');
  middle = await root.intermediate('Middle CA');
  other = await createAuthority('Other CA');
  direct = await root.issue({ commonName: 'direct' });
  chained = await middle.issue({ commonName: 'chained' });
  bare = withoutChain(await middle.issue({ commonName: 'bare' }));
  stranger = await other.issue({ commonName: 'stranger' });
  revoked = await root.issue({ commonName: 'revoked' });
  revokedBelow = await middle.issue({ commonName: 'revoked below' });
});

function withoutChain(identity: Identity): Identity {
  const [leaf] = identity.certificate.split(/(?<=-----END CERTIFICATE-----\n)/);
  return { ...identity, certificate: leaf as string };
}

const start = (ca: string, crl: string, tls: Config = {}): Promise<Gateway> =>
  startGateway(
    {
      tls: { ...baseTls(), client_crl: 'ca.crl', ...tls },
      upstreams: { app: upstream.url },
      routes: [{ name: 'a', path: '/a', addresses: 'any', upstream: 'app' }],
    },
    { files: { 'ca.pem': ca, 'ca.crl': crl } },
  );

async function expectIn(gateway: Gateway, identity: Identity): Promise<Connection> {
  const connection = await connect(gateway, { identity });
  await expectDelivered(gateway, await post(gateway, { path: '/a', on: connection, body: 'x' }));
  return connection;
}

/** The line that says why a client was not let in; the upstream saw nothing of it. */
async function refusal(gateway: Gateway, identity: Identity): Promise<LogLine> {
  const since = gateway.lines.length;
  const seen = upstream.heads();
  const connection = await connect(gateway, { identity }).catch(() => undefined);
  connection?.send(requestBytes({ path: '/a', body: 'x' }));
  await connection?.closed();
  const line = await gateway.line(({ msg }) => msg === 'connection refused', since);
  expect(upstream.heads()).toBe(seen);
  return line;
}

/** What OpenSSL does, and what the gateway does itself where a list may end without shutting everybody out. */
const modes = ['refuse', 'warn'] as const;

describe.each(modes)('client_crl_expired: %s, with lists that are valid', (mode) => {
  let gateway: Gateway;

  beforeAll(async () => {
    const lists = [await root.revoke([revoked]), await middle.revoke([revokedBelow]), await other.revoke([])];
    gateway = await start(root.certificate + other.certificate, lists.join(''), { client_crl_expired: mode });
  });

  test('clients of every authority that has a list are let in', async () => {
    await expectIn(gateway, direct);
    await expectIn(gateway, chained);
    await expectIn(gateway, stranger);
  });

  test('a revoked client is refused, and the log names the lists', async () => {
    expect(await refusal(gateway, revoked)).toMatchObject({
      reason: 'certificate.revoked',
      detail: expect.stringContaining(`CN=Root CA`),
    });
  });

  test('a revoked client of an intermediate is refused', async () => {
    expect(await refusal(gateway, revokedBelow)).toMatchObject({
      reason: 'certificate.revoked',
      detail: expect.stringContaining('CN=Middle CA'),
    });
  });

  test('a client whose intermediate does not come with it is untrusted', async () => {
    expect((await refusal(gateway, bare)).reason).toBe('certificate.untrusted');
  });
});

describe.each(modes)('client_crl_expired: %s', (mode) => {
  test('a revoked intermediate takes all its clients with it', async () => {
    const lists = (await root.revoke([middle])) + (await middle.revoke([]));
    const gateway = await start(root.certificate, lists, { client_crl_expired: mode });
    expect((await refusal(gateway, chained)).reason).toBe('certificate.revoked');
    await expectIn(gateway, direct);
  });

  test('an intermediate that stands in client_ca need not be sent', async () => {
    const lists = (await root.revoke([])) + (await middle.revoke([revokedBelow]));
    const gateway = await start(root.certificate + middle.certificate, lists, { client_crl_expired: mode });
    await expectIn(gateway, bare);
    expect((await refusal(gateway, withoutChain(revokedBelow))).reason).toBe('certificate.revoked');
  });

  test('an authority without a list: its clients are untrusted, the log says so, and a warning came at start', async () => {
    const gateway = await start(root.certificate + other.certificate, await root.revoke([]), {
      client_crl_expired: mode,
    });
    expect(gateway.output()).toContain('no list is of CN=Other CA');
    expect(await refusal(gateway, stranger)).toMatchObject({
      reason: 'certificate.untrusted',
      detail: expect.stringMatching(/no list|no revocation list/),
    });
    await expectIn(gateway, direct);
  });

  test('two lists of one authority: a certificate on either is revoked', async () => {
    const another = await root.issue({ commonName: 'another' });
    const lists = (await root.revoke([revoked, another])) + (await root.revoke([revoked, another]));
    const gateway = await start(root.certificate, lists, { client_crl_expired: mode });
    expect((await refusal(gateway, revoked)).reason).toBe('certificate.revoked');
    expect((await refusal(gateway, another)).reason).toBe('certificate.revoked');
    await expectIn(gateway, direct);
  });
});

describe('a list that has ended', () => {
  const ended = { untilMs: Date.now() - 1000 };

  test('refuse: nobody of its authority comes in, the log names the list, and the next list mends it', async () => {
    const lists = (await root.revoke([], ended)) + (await other.revoke([]));
    const gateway = await start(root.certificate + other.certificate, lists);
    expect(gateway.output()).toMatch(/the revocation list of CN=Root CA in \S+ca\.crl ended on 20/);
    expect(await refusal(gateway, direct)).toMatchObject({
      reason: 'certificate.untrusted',
      detail: expect.stringMatching(/^CRL_HAS_EXPIRED: the list of CN=Root CA in \S+ca\.crl ended on 20/),
    });
    await expectIn(gateway, stranger);
    await reload(gateway, { 'ca.crl': (await root.revoke([])) + (await other.revoke([])) });
    await expectIn(gateway, direct);
  });

  test('warn: the clients come in, the revoked ones do not, and the log and the metric say so', async () => {
    const gateway = await start(root.certificate, await root.revoke([revoked], ended), {
      client_crl_expired: 'warn',
    });
    expect(gateway.output()).toMatch(/the revocation list of CN=Root CA in \S+ca\.crl ended on 20/);
    await expectIn(gateway, direct);
    expect((await refusal(gateway, revoked)).reason).toBe('certificate.revoked');
    const labels = { where: 'tls.client_crl', name: 'CN=Root CA' };
    expect(await metricOf(gateway, 'postern_crl_next_update_seconds', labels)).toBeCloseTo(
      ended.untilMs / 1000,
      -1,
    );
  });

  test('refuse: one that ends while the gateway runs closes connections, and no session is resumed', async () => {
    const untilMs = Math.ceil(Date.now() / 1000) * 1000 + 2000;
    const lists = (await root.revoke([], { untilMs })) + (await other.revoke([]));
    const gateway = await start(root.certificate + other.certificate, lists);
    const kept = await expectIn(gateway, direct);
    const unconcerned = await connect(gateway, { identity: stranger });
    expect(await kept.closed()).toBe('');
    expect(Date.now()).toBeGreaterThanOrEqual(untilMs);
    const session = kept.session() as Buffer;
    const since = gateway.lines.length;
    // OpenSSL counts in whole seconds.
    await sleep(untilMs + 1000 - Date.now());
    const again = await connect(gateway, { identity: direct, tls: { session } }).catch(() => undefined);
    await again?.closed();
    const line = await gateway.line(({ msg }) => msg === 'connection refused', since);
    expect(line.reason).toBe('certificate.untrusted');
    unconcerned.close();
    await expectIn(gateway, stranger);
  });

  test('a warning comes days ahead, and none while there is time', async () => {
    const soon = await root.revoke([], { untilMs: Date.now() + 0.3 * DAY_MS });
    const gateway = await start(root.certificate, soon);
    expect(gateway.output()).toMatch(/the revocation list of CN=Root CA in \S+ ends on 20/);
    await reload(gateway, { 'ca.crl': await root.revoke([], { untilMs: Date.now() + 4 * DAY_MS }) });
    const since = gateway.lines.length;
    await reload(gateway, {});
    const later = gateway.lines.slice(since).map(({ warning }) => String(warning));
    expect(later.filter((warning) => warning.includes('revocation list'))).toEqual([]);
    expect(later.some((warning) => warning.includes('tls.client_ca'))).toBe(true);
  });
});

test.each(modes)('where the handshake is optional a revoked client is told 403 (%s)', async (mode) => {
  const gateway = await start(root.certificate, await root.revoke([revoked]), {
    client_crl_expired: mode,
    client_certificate: 'optional',
  });
  const refused = () => post(gateway, { path: '/a', identity: revoked, body: 'x' });
  await expectRefused(gateway, upstream, refused, 403, 'certificate.revoked');
  await expectIn(gateway, direct);
});

describe('client_crl_expired: warn is not fooled', () => {
  test('by an intermediate of the same name and key that is not the revoked one', async () => {
    const lists = (await root.revoke([middle])) + (await middle.revoke([]));
    const gateway = await start(root.certificate, lists, { client_crl_expired: 'warn' });
    // The same key and name under another root: what is sent beside the real one must not be looked up in its place.
    const [leaf, real] = chained.certificate.split(/(?<=-----END CERTIFICATE-----\n)/) as [string, string];
    const twin = await other.twin(middle);
    for (const certificate of [leaf + twin + real, leaf + real + twin])
      expect((await refusal(gateway, { ...chained, certificate })).reason).toMatch(
        /^certificate\.(?:revoked|untrusted)$/,
      );
  });
});
