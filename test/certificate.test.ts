import { beforeAll, test } from 'vitest';
import { type Authority, defaults, type Identity, type IssueOptions } from './support/ca.ts';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let gateway: Gateway;
let authority: Authority;
let owner: Identity;
let renewed: Identity;

const issue = (options: IssueOptions): Promise<Identity> => authority.issue(options);
const enter = (path: string, identity: Identity | 'none') => post(gateway, { path, identity });

beforeAll(async () => {
  ({ authority } = await defaults());
  upstream = await startUpstream();
  owner = await issue({ commonName: 'owner', key: 'rsa' });
  renewed = await issue({ commonName: 'owner', sameKeyAs: owner });
  const rule = (name: string, certificate: unknown) => ({
    name,
    path: `/${name}`,
    certificate,
    addresses: 'any',
    upstream: 'app',
  });
  gateway = await startGateway({
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams: { app: upstream.url },
    routes: [
      rule('dns', { names: ['DNS:codat.example.com'] }),
      rule('bare', { names: ['codat.example.com'] }),
      rule('uri', { names: ['URI:spiffe://example.com/codat'] }),
      rule('email', { names: ['email:hooks@example.com'] }),
      rule('cn', { names: ['CN:owner'] }),
      rule('either', { names: ['CN:nobody', 'CN:owner'] }),
      rule('leaf', { fingerprints: [owner.fingerprint] }),
      rule('key', { public_keys: [owner.publicKey] }),
      rule('both', { names: ['CN:owner'], fingerprints: [renewed.fingerprint] }),
    ],
  });
});

const named: [string, IssueOptions, IssueOptions][] = [
  [
    '/dns',
    { names: [{ type: 'dns', value: 'codat.example.com' }] },
    { names: [{ type: 'dns', value: 'evil.codat.example.com' }] },
  ],
  ['/dns', { names: [{ type: 'dns', value: 'Codat.Example.com' }] }, { commonName: 'codat.example.com' }],
  [
    '/bare',
    { names: [{ type: 'dns', value: 'codat.example.com' }] },
    { names: [{ type: 'dns', value: '*.example.com' }] },
  ],
  [
    '/uri',
    { names: [{ type: 'url', value: 'spiffe://example.com/codat' }] },
    { names: [{ type: 'url', value: 'spiffe://example.com/codat/' }] },
  ],
  [
    '/uri',
    {
      names: [
        { type: 'dns', value: 'a.example' },
        { type: 'url', value: 'spiffe://example.com/codat' },
      ],
    },
    { names: [{ type: 'dns', value: 'URI:spiffe://example.com/codat' }] },
  ],
  [
    '/email',
    { names: [{ type: 'email', value: 'hooks@example.com' }] },
    { names: [{ type: 'email', value: 'other@example.com' }] },
  ],
  ['/cn', { commonName: 'owner' }, { names: [{ type: 'dns', value: 'owner' }] }],
  // A SAN whose text, joined with commas, would read as two names.
  [
    '/dns',
    { names: [{ type: 'dns', value: 'codat.example.com' }] },
    { names: [{ type: 'url', value: 'http://x/, DNS:codat.example.com' }] },
  ],
];
test.each(named)('%s lets %j in and refuses %j', async (path, right, wrong) => {
  const [inside, outside] = await Promise.all([issue(right), issue(wrong)]);
  await expectDelivered(gateway, await enter(path, inside));
  await expectRefused(gateway, upstream, () => enter(path, outside), 403, 'certificate.not_allowed');
});

test('fingerprints name one leaf: its renewal is refused', async () => {
  await expectDelivered(gateway, await enter('/leaf', owner));
  await expectRefused(gateway, upstream, () => enter('/leaf', renewed), 403, 'certificate.not_allowed');
});

test('public_keys survive a renewal with the same key, not a new key', async () => {
  await expectDelivered(gateway, await enter('/key', owner));
  await expectDelivered(gateway, await enter('/key', renewed));
  const other = await issue({ commonName: 'owner', key: 'rsa' });
  await expectRefused(gateway, upstream, () => enter('/key', other), 403, 'certificate.not_allowed');
});

test('lists given together must all match', async () => {
  await expectDelivered(gateway, await enter('/both', renewed));
  await expectRefused(gateway, upstream, () => enter('/both', owner), 403, 'certificate.not_allowed');
});

test('a rule without a certificate in the handshake is certificate.missing', async () => {
  await expectRefused(gateway, upstream, () => enter('/cn', 'none'), 403, 'certificate.missing');
});

test('one name of a list suffices', async () => {
  await expectDelivered(gateway, await enter('/either', owner));
});
