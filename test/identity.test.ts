import { once } from 'node:events';
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authority, createAuthority, defaults, type Identity, type IssueOptions } from './support/ca.ts';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { connect, post, requestBytes } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let required: Gateway;
let optional: Gateway;
let authority: Authority;
let client: Identity;
let expired: Identity;
let future: Identity;
let stranger: Identity;
let serverOnly: Identity;

const issue = (options: IssueOptions): Promise<Identity> => authority.issue(options);

beforeAll(async () => {
  ({ authority, client } = await defaults());
  upstream = await startUpstream();
  expired = await issue({ commonName: 'expired', untilDays: -1 });
  future = await issue({ commonName: 'future', fromDays: 1 });
  serverOnly = await issue({ commonName: 'server-only', usage: 'server' });
  stranger = await (await createAuthority('Stranger CA')).issue({ commonName: 'sender' });
  const common = { addresses: 'any', upstream: 'app' };
  const routes = [
    { name: 'any', path: '/any', ...common },
    { name: 'cn', path: '/cn', certificate: { names: ['CN:expired', 'CN:sender'] }, ...common },
  ];
  const upstreams = { app: upstream.url };
  required = await startGateway({ upstreams, routes });
  const open = { name: 'open', path: '/open', certificate: 'none', unsafe_open: true, ...common };
  optional = await startGateway({
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams,
    routes: [...routes, open],
  });
});

const enter = (
  gateway: Gateway,
  path: string,
  identity: Identity | 'none',
  options: tls.ConnectionOptions = {},
) => post(gateway, { path, identity, tls: options });

describe('a certificate that client_ca vouches for', () => {
  test.each(['ec', 'rsa'] as const)(
    'lets an %s client in and is recorded by subject and fingerprint',
    async (key) => {
      const identity = await issue({ subject: 'CN=codat, O=Example', key });
      const record = await expectDelivered(required, await enter(required, '/any', identity));
      expect(record.peer).toEqual({
        address: '127.0.0.1',
        certificate: { subject: record.peer.certificate?.subject, fingerprint: identity.fingerprint },
      });
      expect(record.peer.certificate?.subject).toMatch(/^CN=codat, ?O=Example$/);
    },
  );

  test('lets a client in whose certificate hangs on an intermediate that it sends along', async () => {
    const identity = await (await authority.intermediate('Test Intermediate')).issue({ commonName: 'below' });
    const record = await expectDelivered(required, await enter(required, '/any', identity));
    expect(record.peer.certificate?.fingerprint).toBe(identity.fingerprint);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('works over %s', async (version) => {
    const connection = await connect(required, { tls: { minVersion: version, maxVersion: version } });
    expect(connection.socket.getProtocol()).toBe(version);
    await expectDelivered(required, await post(required, { path: '/any', on: connection }));
    connection.close();
  });

  test.each([[[]], [['http/1.1']], [['h2', 'http/1.1']]])('works with the ALPN offer %j', async (offer) => {
    const connection = await connect(required, { tls: offer.length > 0 ? { ALPNProtocols: offer } : {} });
    expect(connection.socket.alpnProtocol).toBe(offer.length > 0 ? 'http/1.1' : false);
    await expectDelivered(required, await post(required, { path: '/any', on: connection }));
    connection.close();
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'is known again, by all its facts, in a resumed %s session',
    async (version) => {
      const options = { minVersion: version, maxVersion: version };
      const first = await connect(required, { tls: options });
      let session: Buffer | undefined = first.socket.getSession();
      first.socket.on('session', (ticket: Buffer) => {
        session = ticket;
      });
      await expectDelivered(required, await post(required, { path: '/any', on: first }));
      const second = await connect(required, {
        tls: { ...options, ...(session === undefined ? {} : { session }) },
      });
      const record = await expectDelivered(required, await post(required, { path: '/any', on: second }));
      expect(record.peer.certificate?.fingerprint).toBe(client.fingerprint);
      first.close();
      second.close();
    },
  );
});

test('a combined key and certificate file serves for both, and client_ca may hold several authorities', async () => {
  const { server } = await defaults();
  const other = await createAuthority('Other CA');
  const combined = await startGateway(
    {
      tls: { certificate: 'all.pem', private_key: 'all.pem', client_ca: 'cas.pem' },
      upstreams: { app: upstream.url },
      routes: [{ name: 'any', path: '/any', addresses: 'any', upstream: 'app' }],
    },
    {
      files: {
        'all.pem': `${server.key}\n${server.certificate}`,
        'cas.pem': `first\n${authority.certificate}\nsecond\n${other.certificate}`,
      },
    },
  );
  for (const identity of [client, await other.issue({ commonName: 'other' })]) {
    const record = await expectDelivered(combined, await enter(combined, '/any', identity));
    expect(record.peer.certificate?.fingerprint).toBe(identity.fingerprint);
  }
  expect(await combined.stop()).toBe(0);
});

describe('client_certificate: required', () => {
  /** Tries to get a request through; resolves with what came back before the end of the connection. */
  async function attempt(identity: Identity | 'none', options: tls.ConnectionOptions = {}): Promise<string> {
    try {
      const connection = await connect(required, { identity, tls: options });
      connection.send(requestBytes({ path: '/any' }));
      return await connection.closed();
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
  }
  const cases: [string, () => Identity | 'none', string][] = [
    ['no certificate', () => 'none', 'certificate.missing'],
    ['another CA’s certificate', () => stranger, 'certificate.untrusted'],
    ['an expired certificate', () => expired, 'certificate.expired'],
    ['a certificate that is not valid yet', () => future, 'certificate.untrusted'],
    ['a certificate for servers only', () => serverOnly, 'certificate.untrusted'],
  ];
  test.each(
    cases.flatMap((one) => (['TLSv1.2', 'TLSv1.3'] as const).map((version) => [...one, version] as const)),
  )('%s ends in the handshake (%3$s), recorded as %2$s', async (_what, identity, reason, version) => {
    const before = upstream.heads();
    const since = required.lines.length;
    const got = await attempt(identity(), { minVersion: version, maxVersion: version });
    expect(got).not.toContain('HTTP/');
    const line = await required.line((one) => one.msg === 'connection refused', since);
    expect({ reason: line.reason, peer: line.peer }).toEqual({ reason, peer: { address: '127.0.0.1' } });
    expect(upstream.heads()).toBe(before);
  });

  test('a client without a certificate reads the alert, also when it is busy with writing its request', async () => {
    const raw = net.connect({ host: '127.0.0.1', port: required.port });
    const transport = new Duplex({
      read() {},
      write: (chunk, encoding, done) => raw.write(chunk, encoding, done),
      destroy: (error, done) => {
        raw.destroy();
        done(error);
      },
    });
    raw.on('data', (chunk) => transport.push(chunk));
    raw.on('error', (error) => transport.destroy(error));
    const { certificate: ca } = authority;
    const socket = tls.connect({ socket: transport, servername: 'localhost', ca, minVersion: 'TLSv1.3' });
    const failed = once(socket, 'error') as Promise<[NodeJS.ErrnoException]>;
    socket.on('secureConnect', () => {
      // Meanwhile nothing is read: a connection that was reset would be found so by one of the writes.
      raw.pause();
      let writes = 0;
      const writing = setInterval(() => {
        writes += 1;
        if (writes < 10) transport.write('part of a request');
        else {
          clearInterval(writing);
          raw.resume();
        }
      }, 5);
    });
    expect((await failed)[0].code).toBe('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED');
  });

  test('TLS 1.1 is refused with the alert protocol_version', async () => {
    const before = upstream.heads();
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    expect(await attempt(client, old)).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
    expect(upstream.heads()).toBe(before);
  });
});

describe('client_certificate: optional', () => {
  test('lets the handshake pass without one, and the route decides', async () => {
    const record = await expectDelivered(optional, await enter(optional, '/open', 'none'));
    expect(record.peer).toEqual({ address: '127.0.0.1' });
    await expectRefused(
      optional,
      upstream,
      () => enter(optional, '/any', 'none'),
      403,
      'certificate.missing',
    );
    await expectDelivered(optional, await enter(optional, '/any', client));
  });

  const bad: [string, () => Identity, string][] = [
    ['another CA’s', () => stranger, 'certificate.untrusted'],
    ['an expired', () => expired, 'certificate.expired'],
    ['a not yet valid', () => future, 'certificate.untrusted'],
    ['a servers-only', () => serverOnly, 'certificate.untrusted'],
  ];
  test.each(bad)(
    'refuses %s certificate with 403, and its names count for nothing',
    async (_what, identity, reason) => {
      await expectRefused(optional, upstream, () => enter(optional, '/any', identity()), 403, reason);
      await expectRefused(optional, upstream, () => enter(optional, '/cn', identity()), 403, reason);
    },
  );
});

test('a certificate that expires during a connection is refused from then on, and the connection is closed', async () => {
  // X.509 times have whole seconds.
  const untilMs = Math.ceil((Date.now() + 1500) / 1000) * 1000;
  const connection = await connect(required, { identity: await issue({ commonName: 'brief', untilMs }) });
  await expectDelivered(required, await post(required, { path: '/any', on: connection }));
  await new Promise((resolve) => setTimeout(resolve, untilMs + 1100 - Date.now()));
  const { answer } = await expectRefused(
    required,
    upstream,
    () => post(required, { path: '/any', on: connection }),
    403,
    'certificate.expired',
  );
  expect(answer.header('connection')).toBe('close');
  expect(await connection.closed()).toBe('');
});
