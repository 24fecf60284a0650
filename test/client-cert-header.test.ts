import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authority, createAuthority, defaults, type Identity } from './support/ca.ts';
import { expectDelivered } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { type Connection, connect, post } from './support/sender.ts';
import { headersOf, startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let gateway: Gateway;
/** Its client_ca holds the root, an intermediate of it, and one below that. */
let knowing: Gateway;
let root: Authority;
let upper: Authority;
let lower: Authority;
let client: Identity;

beforeAll(async () => {
  ({ authority: root } = await defaults());
  upper = await root.intermediate('Upper');
  lower = await upper.intermediate('Lower');
  client = await lower.issue({ commonName: 'client' });
  upstream = await startUpstream();
  const routes = [
    { name: 'told', path: '/told', addresses: 'any', upstream: 'app', client_certificate_header: true },
    { name: 'untold', path: '/untold', addresses: 'any', upstream: 'app' },
    {
      name: 'open',
      path: '/open',
      addresses: 'any',
      upstream: 'app',
      certificate: 'none',
      unsafe_open: true,
      client_certificate_header: true,
    },
  ];
  const config = {
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams: { app: upstream.url },
    routes,
  };
  gateway = await startGateway(config);
  const authorities = [root.certificate, upper.certificate, lower.certificate].join('');
  knowing = await startGateway(config, { files: { 'ca.pem': authorities } });
});

/** The certificates of a PEM text, one each. */
const split = (pem: string): string[] => pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g) ?? [];
const derOf = (pem: string): string => new X509Certificate(pem).raw.toString('base64');
/** The client with other certificates behind its own than those that it should send. */
const sending = (...behind: string[]): Identity => ({
  ...client,
  certificate: [split(client.certificate)[0], ...behind].join(''),
});

interface Told {
  readonly leaf: string[];
  readonly chain: string[];
}

/** The certificates that the upstream is told of, in base64, each field read strictly by RFC 9440 section 2. */
async function told(
  by: Gateway,
  options: { identity?: Identity | 'none'; path?: string; headers?: [string, string][]; on?: Connection },
): Promise<Told> {
  const answer = await post(by, { path: '/told', body: 'x', identity: client, ...options });
  await expectDelivered(by, answer);
  const seen = await upstream.request((one) => headersOf(one, 'x-request-id')[0] === answer.id);
  return { leaf: headersOf(seen, 'client-cert'), chain: headersOf(seen, 'client-cert-chain') };
}

const bytes = (pem: string): string => `:${derOf(pem)}:`;
const whole = (): Told => ({
  leaf: [bytes(client.certificate)],
  chain: [`${bytes(lower.certificate)}, ${bytes(upper.certificate)}`],
});

describe('Client-Cert is the leaf and Client-Cert-Chain what stands between it and the root, each before its issuer', () => {
  test('where the client sends the intermediates', async () => {
    expect(await told(gateway, {})).toEqual(whole());
  });

  test('where it sends the root too', async () => {
    const [, ...intermediates] = split(client.certificate);
    expect(await told(gateway, { identity: sending(...intermediates, root.certificate) })).toEqual(whole());
  });

  test('where it sends them in the wrong order, and others among them', async () => {
    const { server } = await defaults();
    const other = await root.intermediate('Other');
    const identity = sending(server.certificate, upper.certificate, other.certificate, lower.certificate);
    expect(await told(gateway, { identity })).toEqual(whole());
  });

  test('where it sends none, and client_ca holds them', async () => {
    expect(await told(knowing, { identity: sending() })).toEqual(whole());
  });

  test('where it sends one, and client_ca holds the other', async () => {
    expect(await told(knowing, { identity: sending(lower.certificate) })).toEqual(whole());
  });

  test('where it sends others of the same names, and client_ca holds those that signed', async () => {
    const namesake = await (await createAuthority('Test CA')).intermediate('Upper');
    const forged = await namesake.intermediate('Lower');
    // Other keys: the handshake holds by client_ca, and what was sent beside it vouches for nothing.
    const identity = sending(forged.certificate, namesake.certificate);
    expect(await told(knowing, { identity })).toEqual(whole());
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('in a resumed %s session', async (version) => {
    const versions = { minVersion: version, maxVersion: version };
    const first = await connect(gateway, { identity: client, tls: versions });
    let session: Buffer | undefined = first.socket.getSession();
    first.socket.on('session', (ticket: Buffer) => {
      session = ticket;
    });
    expect(await told(gateway, { on: first })).toEqual(whole());
    const second = await connect(gateway, {
      identity: client,
      tls: { ...versions, ...(session && { session }) },
    });
    expect(second.socket.isSessionReused()).toBe(true);
    expect(await told(gateway, { on: second })).toEqual(whole());
    first.close();
    second.close();
  });
});

test('there is no Client-Cert-Chain where the root itself issued the leaf', async () => {
  const direct = await root.issue({ commonName: 'direct' });
  expect(await told(gateway, { identity: direct })).toEqual({ leaf: [bytes(direct.certificate)], chain: [] });
});

test('an authority that sends nine certificates of itself, each issued by all the others, keeps nobody waiting', async () => {
  // Every order of them is a chain by names and signatures: there are more than a core tries in minutes.
  const mesh = await Promise.all(Array.from({ length: 9 }, () => lower.again()));
  const meshed = post(knowing, { path: '/untold', identity: sending(...mesh), body: 'x' });
  await expectDelivered(knowing, await meshed);
  expect(await told(knowing, {})).toEqual(whole());
});

describe('what the sender claims in these fields never reaches the upstream', () => {
  const lies: [string, string][] = [
    ['Client-Cert', ':bGll:'],
    ['client-cert', ':bGll:'],
    ['CLIENT-CERT-CHAIN', ':bGll:, :bGll:'],
    ['Client_Cert', ':bGll:'],
    ['client.cert.chain', ':bGll:'],
  ];
  const none: Told = { leaf: [], chain: [] };

  test('where the route tells of the certificate', async () => {
    expect(await told(gateway, { headers: lies })).toEqual(whole());
    const direct = await root.issue({ commonName: 'direct' });
    expect((await told(gateway, { identity: direct, headers: lies })).chain).toEqual([]);
  });

  test('where it does not', async () => {
    expect(await told(gateway, { path: '/untold', headers: lies })).toEqual(none);
  });

  test('where there is no certificate, or none that anybody vouches for', async () => {
    const stranger = await (await createAuthority('Stranger CA')).issue({ commonName: 'client' });
    for (const identity of ['none', stranger] as const)
      expect(await told(gateway, { path: '/open', identity, headers: lies })).toEqual(none);
  });
});
