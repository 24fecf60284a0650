import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authority, createAuthority, defaults, type Identity } from './support/ca.ts';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { baseTls, type Config, type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { configText, reload } from './support/reload.ts';
import { type Connection, connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let first: Authority;
let second: Authority;
let staying: Identity;

beforeAll(async () => {
  upstream = await startUpstream();
  first = await createAuthority('First CA');
  second = await createAuthority('Second CA');
  staying = await first.issue({ commonName: 'staying' });
});

const config = (tls: Config = {}): Config => ({
  tls: { ...baseTls(), ...tls },
  upstreams: { app: upstream.url },
  routes: [{ name: 'a', path: '/a', addresses: 'any', upstream: 'app' }],
});

type Version = 'TLSv1.2' | 'TLSv1.3';
const only = (version: Version) => ({ minVersion: version, maxVersion: version });

/** A connection that has carried a request, and the session ticket that came with it. */
async function enter(
  gateway: Gateway,
  identity: Identity,
  version: Version,
  session?: Buffer,
): Promise<{ connection: Connection; session: Buffer }> {
  const tls = { ...only(version), ...(session === undefined ? {} : { session }) };
  const connection = await connect(gateway, { identity, tls });
  await expectDelivered(gateway, await post(gateway, { path: '/a', on: connection, body: 'x' }));
  const ticket = connection.session() ?? connection.socket.getSession();
  if (ticket === undefined) throw new Error('no session ticket came');
  return { connection, session: ticket };
}

/** Why a connection, or a request on it, was refused: the reason that was recorded; the upstream saw nothing. */
async function refusalOf(gateway: Gateway, act: () => Promise<Connection>): Promise<unknown> {
  const since = gateway.lines.length;
  const seen = upstream.heads();
  const connection = await act().catch(() => undefined);
  if (connection !== undefined) {
    connection.send(requestBytes({ path: '/a', body: 'x' }));
    await connection.closed();
  }
  const line = await gateway.line(({ reason }) => reason !== undefined, since);
  expect(upstream.heads()).toBe(seen);
  return line.reason;
}

const versions: Version[] = ['TLSv1.2', 'TLSv1.3'];

describe.each(versions)('%s: an authority that is removed', (version) => {
  let gateway: Gateway;
  let leaving: Identity;
  let ticket: Buffer;
  let kept: Connection;
  let stays: { connection: Connection; session: Buffer };

  beforeAll(async () => {
    gateway = await startGateway(config(), { files: { 'ca.pem': first.certificate + second.certificate } });
    leaving = await second.issue({ commonName: 'leaving' });
    ({ connection: kept, session: ticket } = await enter(gateway, leaving, version));
    stays = await enter(gateway, staying, version);
    const resumed = await enter(gateway, leaving, version, ticket);
    expect(resumed.connection.socket.isSessionReused()).toBe(true);
    ticket = resumed.session;
    resumed.connection.close();
    await reload(gateway, { 'ca.pem': first.certificate });
  });

  test('a fresh connection of its client is refused as untrusted', async () => {
    const fresh = () => connect(gateway, { identity: leaving, tls: only(version) });
    expect(await refusalOf(gateway, fresh)).toBe('certificate.untrusted');
  });

  test('a resumed session of its client is refused as untrusted', async () => {
    const resumed = () => connect(gateway, { identity: leaving, tls: { ...only(version), session: ticket } });
    expect(await refusalOf(gateway, resumed)).toBe('certificate.untrusted');
  });

  test('a kept-alive connection of its client is closed between requests', async () => {
    expect(await kept.closed()).toBe('');
  });

  test('a client of the authority that stays is let in again: it was closed between requests too', async () => {
    expect(await stays.connection.closed()).toBe('');
    const again = await connect(gateway, {
      identity: staying,
      tls: { ...only(version), session: stays.session },
    });
    expect(again.socket.isSessionReused()).toBe(false);
    await expectDelivered(gateway, await post(gateway, { path: '/a', on: again, body: 'x' }));
  });
});

describe.each(versions)('%s: a certificate that is revoked', (version) => {
  let gateway: Gateway;
  let revoked: Identity;
  let ticket: Buffer;
  let kept: Connection;

  beforeAll(async () => {
    revoked = await first.issue({ commonName: 'revoked' });
    gateway = await startGateway(config({ client_crl: 'ca.crl' }), {
      files: { 'ca.pem': first.certificate, 'ca.crl': await first.revoke([]) },
    });
    ({ connection: kept, session: ticket } = await enter(gateway, revoked, version));
    const line = await reload(gateway, { 'ca.crl': await first.revoke([revoked]) });
    expect(line.closed_connections).toBe(1);
  });

  test('a fresh connection is refused as revoked', async () => {
    const fresh = () => connect(gateway, { identity: revoked, tls: only(version) });
    expect(await refusalOf(gateway, fresh)).toBe('certificate.revoked');
  });

  test('a resumed session is refused as revoked', async () => {
    const resumed = () => connect(gateway, { identity: revoked, tls: { ...only(version), session: ticket } });
    expect(await refusalOf(gateway, resumed)).toBe('certificate.revoked');
  });

  test('a kept-alive connection is closed between requests', async () => {
    expect(await kept.closed()).toBe('');
  });

  test('another client of the same authority is let in', async () => {
    await enter(gateway, staying, version);
  });
});

describe.each(versions)('%s: a certificate that expires', (version) => {
  /** Both a leaf, and a leaf whose intermediate ends before it does: a resumed session brings the leaf only. */
  const kinds = ['leaf', 'intermediate'] as const;
  const clients = new Map<string, { identity: Identity; kept: Connection; session: Buffer }>();
  let gateway: Gateway;

  beforeAll(async () => {
    gateway = await startGateway(config(), { files: { 'ca.pem': first.certificate } });
    // Certificates count in whole seconds.
    const untilMs = Math.ceil(Date.now() / 1000) * 1000 + 2000;
    const short = await first.intermediate('Short CA', { untilMs });
    const identities = {
      leaf: await first.issue({ commonName: 'short', untilMs }),
      intermediate: await short.issue({ commonName: 'long' }),
    };
    for (const kind of kinds) {
      const { connection, session } = await enter(gateway, identities[kind], version);
      // One resumed while it is still good: it is judged by the same chain.
      const resumed = await enter(gateway, identities[kind], version, session);
      expect(resumed.connection.socket.isSessionReused()).toBe(true);
      clients.set(kind, { identity: identities[kind], kept: connection, session: resumed.session });
      clients.set(`${kind}, resumed`, { identity: identities[kind], kept: resumed.connection, session });
    }
    await sleep(untilMs + 1000 - Date.now());
  });

  test.each(kinds)('the %s: a fresh connection is refused as expired', async (kind) => {
    const { identity } = clients.get(kind) as { identity: Identity };
    const fresh = () => connect(gateway, { identity, tls: only(version) });
    expect(await refusalOf(gateway, fresh)).toBe('certificate.expired');
  });

  test.each(kinds)('the %s: a resumed session is refused as expired', async (kind) => {
    const { identity, session } = clients.get(kind) as { identity: Identity; session: Buffer };
    const resumed = () => connect(gateway, { identity, tls: { ...only(version), session } });
    expect(await refusalOf(gateway, resumed)).toBe('certificate.expired');
  });

  test.each([...kinds, ...kinds.map((kind) => `${kind}, resumed`)])(
    'the %s: the next request on a kept-alive connection is 403 and the last',
    async (kind) => {
      const { kept } = clients.get(kind) as { kept: Connection };
      const seen = upstream.heads();
      const answer = await post(gateway, { path: '/a', on: kept, body: 'x' });
      await expectProblem(gateway, answer, 403, 'certificate.expired');
      expect(answer.header('connection')).toBe('close');
      expect(await kept.closed()).toBe('');
      expect(upstream.heads()).toBe(seen);
    },
  );
});

describe('what is under way when the client trust changes', () => {
  test('is answered as its upstream answers, with Connection: close, and nothing after it is read', async () => {
    const gateway = await startGateway(config(), {
      files: { 'ca.pem': first.certificate + second.certificate },
    });
    const identity = await second.issue({ commonName: 'under way' });
    const connection = await connect(gateway, { identity });
    const { arrived, release } = holdAnswers(upstream);
    const seen = upstream.heads();
    connection.send(requestBytes({ path: '/a', body: 'first' }));
    connection.send(requestBytes({ path: '/a', body: 'sent ahead' }));
    await arrived;
    await reload(gateway, { 'ca.pem': first.certificate });
    release();
    const answer = await connection.answer();
    upstream.answer();
    await expectDelivered(gateway, answer);
    expect(answer.header('connection')).toBe('close');
    expect(await connection.closed()).toBe('');
    expect(upstream.heads()).toBe(seen + 1);
  });

  test('a change that leaves the client trust as it was closes nothing', async () => {
    const { authority } = await defaults();
    const gateway = await startGateway(config(), {
      files: { 'ca.pem': authority.certificate + first.certificate },
    });
    const kept = await connect(gateway, { identity: staying });
    // The same authorities in another order, and with a comment.
    const line = await reload(gateway, {
      'ca.pem': `# authorities\n${first.certificate}${authority.certificate}`,
      'postern.yaml': configText(config({ min_version: 'TLSv1.3' })),
    });
    expect(line.closed_connections).toBe(0);
    await expectDelivered(gateway, await post(gateway, { path: '/a', on: kept, body: 'x' }));
  });

  test('one that requires certificates from now on closes those that came without', async () => {
    const optional = {
      ...config({ client_certificate: 'optional' }),
      routes: [
        { name: 'a', path: '/a', addresses: 'any', certificate: 'none', unsafe_open: true, upstream: 'app' },
      ],
    };
    const gateway = await startGateway(optional);
    const kept = await connect(gateway, { identity: 'none' });
    await expectDelivered(gateway, await post(gateway, { path: '/a', on: kept, body: 'x' }));
    await reload(gateway, { 'postern.yaml': configText({ ...optional, tls: baseTls() }) });
    expect(await kept.closed()).toBe('');
  });

  test('under load only connections between requests are closed: what got no answer was not delivered', async () => {
    const both = first.certificate + second.certificate;
    const gateway = await startGateway(config(), { files: { 'ca.pem': both } });
    let isOver = false;
    const answered: string[] = [];
    const lost: string[] = [];
    const send = async (sender: number): Promise<void> => {
      let kept: Connection | undefined;
      for (let turn = 0; !isOver; turn += 1) {
        const id = `load-${sender}-${turn}`;
        try {
          kept ??= await connect(gateway, { identity: staying });
          const answer = await post(gateway, { path: '/a', on: kept, headers: [['x-load', id]], body: 'x' });
          expect(answer.status).toBe(200);
          answered.push(id);
          if (answer.header('connection') === 'close') kept = undefined;
        } catch {
          lost.push(id);
          kept?.close();
          kept = undefined;
        }
      }
    };
    const senders = Promise.all(Array.from({ length: 6 }, (_, sender) => send(sender)));
    for (let turn = 0; turn < 20 || answered.length <= 100; turn += 1)
      await reload(gateway, { 'ca.pem': turn % 2 === 0 ? first.certificate : both });
    isOver = true;
    await senders;
    const seen = new Set(upstream.requests.flatMap(({ rawHeaders }) => rawHeaders));
    expect(answered.filter((id) => !seen.has(id))).toEqual([]);
    expect(lost.filter((id) => seen.has(id))).toEqual([]);
  });
});
