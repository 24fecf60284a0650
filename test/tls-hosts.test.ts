import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authority, createAuthority, type Identity } from './support/ca.ts';
import { expectDelivered, expectProblem, expectRefused } from './support/expect.ts';
import { baseTls, type Config, type Gateway, startGateway } from './support/gateway.ts';
import { hasOpenssl } from './support/openssl.ts';
import { reload } from './support/reload.ts';
import { type Connection, connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let gateway: Gateway;
let authorities: Record<'a' | 'b', Authority>;
let clients: Record<'a' | 'b', Identity>;

const HOSTS = {
  a: 'a.example.com',
  also: 'also-a.example.com',
  b: 'b.example.com',
  like: 'like-a.example.com',
  other: 'other.example.com',
};

beforeAll(async () => {
  upstream = await startUpstream();
  authorities = { a: await createAuthority('A'), b: await createAuthority('B') };
  const { a, b } = authorities;
  clients = { a: await a.issue({ commonName: 'client a' }), b: await b.issue({ commonName: 'client b' }) };
  const files: Record<string, string> = { 'a-ca.pem': a.certificate, 'b-ca.pem': b.certificate };
  const host = async (name: string, names: string[], more: Config): Promise<Config> => {
    const { certificate, key } = await a.issue({
      commonName: name,
      usage: 'server',
      names: names.map((value) => ({ type: 'dns', value })),
    });
    files[`${name}.pem`] = key + certificate;
    return { names, certificate: `${name}.pem`, ...more };
  };
  gateway = await startGateway(
    {
      tls: {
        ...baseTls(),
        hosts: [
          await host('a', [HOSTS.a, HOSTS.also], { client_ca: 'a-ca.pem' }),
          await host('b', [HOSTS.b], { client_ca: 'b-ca.pem' }),
          await host('like', [HOSTS.like], { client_ca: 'a-ca.pem' }),
          await host('free', [HOSTS.other], { client_ca: 'b-ca.pem', client_certificate: 'optional' }),
        ],
      },
      upstreams: { app: upstream.url },
      routes: [
        { name: 'a', host: HOSTS.a, path: '/*', addresses: 'any', upstream: 'app' },
        { name: 'b', host: HOSTS.b, path: '/*', addresses: 'any', upstream: 'app' },
        { name: 'any', path: '/*', addresses: 'any', upstream: 'app' },
      ],
    },
    { files },
  );
});

/** A connection that asked for a name, and the certificate that was shown for it. */
async function shake(name: string | undefined, identity: Identity | 'none' | undefined): Promise<Connection> {
  return connect(gateway, {
    ...(identity === undefined ? {} : { identity }),
    tls: { servername: name ?? '', rejectUnauthorized: false },
  });
}

const shownBy = ({ socket }: Connection): string | undefined => socket.getPeerX509Certificate()?.subject;
const send = (on: Connection, host: string) => post(gateway, { path: '/x', host, on, body: 'x' });

/** The recorded reason for which a handshake, or what followed it, was ended. */
async function refusedHandshake(name: string | undefined, identity: Identity | 'none'): Promise<unknown> {
  const since = gateway.lines.length;
  const connection = await shake(name, identity).catch(() => undefined);
  connection?.send(requestBytes({ path: '/x', host: name ?? 'localhost', body: 'x' }));
  await connection?.closed();
  return (await gateway.line(({ msg }) => msg === 'connection refused', since)).reason;
}

describe('the name that is asked for chooses the certificate and whose clients are believed', () => {
  test.each([
    [HOSTS.a, 'CN=a'],
    [HOSTS.also, 'CN=a'],
    ['A.Example.Com', 'CN=a'],
    [HOSTS.like, 'CN=like'],
  ])('%s is shown %s, and a client of A is let in', async (name, subject) => {
    const connection = await shake(name, clients.a);
    expect(shownBy(connection)).toBe(subject);
    await expectDelivered(gateway, await send(connection, name));
  });

  test('b is shown its own, and a client of B is let in', async () => {
    const connection = await shake(HOSTS.b, clients.b);
    expect(shownBy(connection)).toBe('CN=b');
    await expectDelivered(gateway, await send(connection, HOSTS.b));
  });

  test.each([
    ['no name', undefined],
    ['a name that no host has', 'unknown.example.com'],
    ['a name below one that a host has', 'x.a.example.com'],
  ])('%s is the default, and a client of the default authority is let in', async (_what, name) => {
    const connection = await shake(name, undefined);
    expect(shownBy(connection)).toBe('CN=localhost');
    await expectDelivered(gateway, await send(connection, 'localhost'));
  });

  test('a client of another host’s authority is untrusted', async () => {
    expect(await refusedHandshake(HOSTS.a, clients.b)).toBe('certificate.untrusted');
    expect(await refusedHandshake(HOSTS.b, clients.a)).toBe('certificate.untrusted');
    expect(await refusedHandshake(undefined, clients.a)).toBe('certificate.untrusted');
  });

  test('a certificate is required where the host says so, and only there', async () => {
    expect(await refusedHandshake(HOSTS.a, 'none')).toBe('certificate.missing');
    const free = await shake(HOSTS.other, 'none');
    const answer = await send(free, HOSTS.other);
    await expectProblem(gateway, answer, 403, 'certificate.missing');
  });
});

describe('a request must be for the host of its handshake, where hosts believe different clients', () => {
  test.each([
    ['a', HOSTS.b],
    ['a', 'localhost'],
    ['a', 'unknown.example.com'],
    ['a', '127.0.0.1'],
    ['b', HOSTS.a],
    ['b', HOSTS.also],
    ['b', HOSTS.other],
  ] as const)('from the host of %s to %s: 421, and the connection is closed', async (from, to) => {
    const connection = await shake(HOSTS[from], clients[from]);
    const { answer } = await expectRefused(
      gateway,
      upstream,
      () => send(connection, to),
      421,
      'request.misdirected',
    );
    expect(answer.header('connection')).toBe('close');
    expect(await connection.closed()).toBe('');
  });

  test.each([HOSTS.also, HOSTS.like, 'A.EXAMPLE.COM:8443', 'a.example.com.'])(
    'from the host of a to %s, which believes the same clients: delivered',
    async (to) => {
      const connection = await shake(HOSTS.a, clients.a);
      await expectDelivered(gateway, await send(connection, to));
    },
  );

  test('without SNI only the default is served', async () => {
    const connection = await shake(undefined, undefined);
    const act = () => send(connection, HOSTS.a);
    await expectRefused(gateway, upstream, act, 421, 'request.misdirected');
  });
});

describe('a session of one host is no way into another', () => {
  test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s: none is resumed at all', async (version) => {
    const tls = { servername: HOSTS.a, rejectUnauthorized: false, minVersion: version, maxVersion: version };
    const first = await connect(gateway, { identity: clients.a, tls });
    await expectDelivered(gateway, await send(first, HOSTS.a));
    const session = first.session() ?? first.socket.getSession();
    expect(session).toBeDefined();
    const second = await connect(gateway, {
      identity: clients.a,
      tls: { ...tls, ...(session === undefined ? {} : { session }) },
    });
    expect(second.socket.isSessionReused()).toBe(false);
    await expectDelivered(gateway, await send(second, HOSTS.a));
  });

  // Node's own client does not offer a session under another name; OpenSSL's does.
  test.skipIf(!hasOpenssl()).each(['-tls1_2', '-tls1_3'])(
    'openssl s_client %s: a session made with b and offered to the default and to a is not taken',
    async (version) => {
      const file = (name: string) => join(gateway.folder, name);
      await writeFile(file('client.pem'), clients.b.key + clients.b.certificate);
      const client = (...more: string[]) =>
        new Promise<string>((resolve) => {
          const child = execFile(
            'openssl',
            [
              's_client',
              '-connect',
              `127.0.0.1:${gateway.port}`,
              version,
              '-cert',
              file('client.pem'),
              ...more,
            ],
            (_error, stdout, stderr) => resolve(stdout + stderr),
          );
          // Not the end of its input ends it: the gateway does, with its answer or without one.
          child.stdin?.on('error', () => undefined);
          child.stdin?.write(requestBytes({ path: '/x', host: 'localhost', body: 'x' }));
        });
      const seen = upstream.heads();
      const made = await client('-servername', HOSTS.b, '-sess_out', file('session'));
      expect(made).toMatch(/New, TLS/);
      expect(made).toMatch(/HTTP\/1.1 421/);
      for (const name of ['localhost', HOSTS.a]) {
        const since = gateway.lines.length;
        const resumed = await client('-servername', name, '-sess_in', file('session'));
        expect(resumed).not.toMatch(/Reused, TLS/);
        const line = await gateway.line(({ msg }) => msg === 'connection refused', since);
        expect(line.reason).toBe('certificate.untrusted');
      }
      expect(upstream.heads()).toBe(seen);
    },
  );
});

test('a reload that changes one host’s authority closes the connections of that host alone', async () => {
  const [ofA, ofB] = [await shake(HOSTS.a, clients.a), await shake(HOSTS.b, clients.b)];
  await expectDelivered(gateway, await send(ofA, HOSTS.a));
  await expectDelivered(gateway, await send(ofB, HOSTS.b));
  const next = await createAuthority('Next A');
  await reload(gateway, { 'a-ca.pem': next.certificate });
  expect(await ofA.closed()).toBe('');
  await expectDelivered(gateway, await send(ofB, HOSTS.b));
  expect(await refusedHandshake(HOSTS.a, clients.a)).toBe('certificate.untrusted');
});
