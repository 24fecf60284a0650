import { randomUUID } from 'node:crypto';
import { decodeJwt, type JWTPayload } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { defaults, type Identity } from './support/ca.ts';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { metricOf } from './support/metrics.ts';
import { reload } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, post } from './support/sender.ts';
import { headersOf, type SeenRequest, startUpstream, type Upstream } from './support/upstream.ts';

const HEADER = 'X-Codat-ClientId';
const [ofRoute, ofAnn, ofAnnOld, ofBob, ofDora, shared] = Array.from({ length: 6 }, () => newSecret()) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const many = Array.from({ length: 40 }, () => newSecret());
let upstream: Upstream;
let second: Upstream;
let gateway: Gateway;
let anns: Identity;
let carls: Identity;
let doras: Identity;

beforeAll(async () => {
  const { authority } = await defaults();
  [anns, carls, doras] = await Promise.all([
    authority.issue({ commonName: 'ann' }),
    authority.issue({ commonName: 'carl' }),
    authority.issue({ commonName: 'dora' }),
  ]);
  [upstream, second] = [await startUpstream(), await startUpstream()];
  const ann = { id: 'ann', secrets: [ofAnn, ofAnnOld] };
  const bob = { id: 'bob', secrets: [ofBob], upstream: 'second', upstream_path: '/bobs' };
  const carl = { id: 'carl', certificate: { names: ['CN:carl'] } };
  const dora = { id: 'dora', secrets: [ofDora], certificate: { fingerprints: [doras.fingerprint] } };
  const leaf = { id: 'carl', certificate: { fingerprints: [carls.fingerprint] } };
  const route = (name: string, clients: object, more: object = {}) => ({
    name,
    path: `/${name}`,
    addresses: 'any',
    upstream: 'app',
    clients: { header: HEADER, ...clients },
    ...more,
  });
  const signature = { scheme: 'standard-webhooks' };
  const attest = { key: newSecret(48) };
  const byRoute = { signature: { ...signature, secrets: [ofRoute] } };
  gateway = await startGateway({
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams: { app: upstream.url, second: second.url },
    routes: [
      route('signed', { known: [ann, bob] }, { signature, certificate: 'none', attest }),
      route('mixed', { known: [ann, bob, carl, dora] }, byRoute),
      route('allow', { unknown: 'allow', known: [ann, carl] }, byRoute),
      route('certified', { known: [leaf, { id: 'dora', certificate: dora.certificate }] }),
      route('report', { mode: 'report', known: [ann, bob, carl] }, { ...byRoute, attest }),
      route(
        'lent',
        {
          known: [
            { ...leaf, secrets: [shared] },
            { ...dora, secrets: [shared] },
          ],
        },
        { signature },
      ),
      route(
        'limited',
        { known: [ann, { ...bob, rate_limit: { rate: '2/h' } }, carl] },
        { ...byRoute, rate_limit: { rate: '1/h' } },
      ),
      route(
        'many',
        { known: many.map((one, place) => ({ id: `client-${place}`, secrets: [one] })) },
        { signature },
      ),
      route(
        'addressed',
        { known: [ann, { ...bob, rate_limit: { rate: '100/h' } }] },
        { signature, rate_limit: { rate: '2/h', by: 'address' } },
      ),
    ],
  });
});

interface Sending {
  readonly client?: string | readonly string[];
  readonly secret?: string;
  readonly id?: string;
  readonly identity?: Identity | 'none';
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string;
}

const send = (path: string, { client = [], secret, id, headers = [], ...more }: Sending): Promise<Answer> =>
  post(gateway, {
    path,
    body: '{}',
    ...more,
    headers: [...[client].flat().map((value) => [HEADER, value] as const), ...headers],
    ...(secret === undefined ? {} : { sign: { secret, id: id ?? `msg_${randomUUID()}` } }),
  });
const refused = async (path: string, sending: Sending, status: number, reason: string) => {
  const before = second.heads();
  const found = await expectRefused(gateway, upstream, () => send(path, sending), status, reason);
  expect(second.heads()).toBe(before);
  return found.record;
};
const delivered = async (
  path: string,
  sending: Sending,
  to = upstream,
): Promise<{ record: Awaited<ReturnType<typeof expectDelivered>>; seen: SeenRequest }> => {
  const before = to.requests.length;
  const record = await expectDelivered(gateway, await send(path, sending));
  expect(to.requests.length).toBe(before + 1);
  return { record, seen: to.requests.at(-1) as SeenRequest };
};

const attested = (seen: SeenRequest): JWTPayload =>
  decodeJwt(headersOf(seen, 'x-postern-attestation')[0] ?? '');

describe('a known client', () => {
  test('comes in by its own secret, is named to the upstream by the gateway’s word, and recorded', async () => {
    const { record, seen } = await delivered('/signed', {
      client: 'ann',
      secret: ofAnnOld,
      identity: 'none',
      headers: [['X-Postern-Client', 'bob']],
    });
    expect(record).toMatchObject({ route: 'signed', client: 'ann', secret: 1 });
    expect(headersOf(seen, 'x-postern-client')).toEqual(['ann']);
    expect(headersOf(seen, 'x-codat-clientid')).toEqual(['ann']);
    expect(headersOf(seen, 'x-postern-route')).toEqual(['signed']);
    expect(attested(seen)).toMatchObject({ route: 'signed', client: 'ann', checks: ['signature'] });
  });

  test('has an upstream and a path of its own', async () => {
    const { record, seen } = await delivered('/signed', { client: 'bob', secret: ofBob }, second);
    expect(record).toMatchObject({ client: 'bob', secret: 0, upstream: second.url });
    expect(seen.target).toBe('/bobs');
  });

  test('comes in by its own certificate, and signs with the secrets of the route', async () => {
    const { record } = await delivered('/mixed', { client: 'carl', secret: ofRoute, identity: carls });
    expect(record).toMatchObject({ client: 'carl', secret: 0 });
    await refused(
      '/mixed',
      { client: 'carl', secret: newSecret(), identity: carls },
      401,
      'signature.mismatch',
    );
  });

  test('with both must prove both', async () => {
    await delivered('/mixed', { client: 'dora', secret: ofDora, identity: doras });
    const other = await refused(
      '/mixed',
      { client: 'dora', secret: ofDora, identity: carls },
      403,
      'client.mismatch',
    );
    expect(other).toMatchObject({ client: 'dora', detail: 'the fingerprint is not listed' });
    await refused('/mixed', { client: 'dora', secret: ofRoute, identity: doras }, 403, 'client.mismatch');
  });

  test('of a route without signatures is known by its certificate alone', async () => {
    await delivered('/certified', { client: 'carl', identity: carls });
    await refused('/certified', { client: 'carl', identity: doras }, 403, 'client.mismatch');
  });

  test('may share its secret where certificates tell them apart', async () => {
    await delivered('/lent', { client: 'carl', secret: shared, identity: carls });
    await delivered('/lent', { client: 'dora', secret: shared, identity: doras });
    await refused('/lent', { client: 'carl', secret: shared, identity: doras }, 403, 'client.mismatch');
  });

  test('is asked what the route asks first', async () => {
    await refused(
      '/mixed',
      { client: 'carl', secret: ofRoute, identity: 'none' },
      403,
      'certificate.missing',
    );
    await refused('/certified', { client: 'nobody', identity: 'none' }, 403, 'certificate.missing');
  });
});

describe('the id of one client with what another proves', () => {
  test.each([
    ['the secret of another client', '/signed', 'bob', ofAnn, 'signed by a secret of the client ann'],
    ['the secret of the route', '/mixed', 'ann', ofRoute, 'signed by a secret of the route'],
    [
      'the secret of another, instead of the route’s',
      '/mixed',
      'carl',
      ofAnn,
      'signed by a secret of the client ann',
    ],
  ])('%s is refused as client.mismatch', async (_what, path, client, secret, detail) => {
    const record = await refused(path, { client, secret, identity: carls }, 403, 'client.mismatch');
    expect(record).toMatchObject({ client, detail });
    expect(record).not.toHaveProperty('message_id');
  });

  test('the certificate of another is refused as client.mismatch', async () => {
    const record = await refused(
      '/mixed',
      { client: 'carl', secret: ofRoute, identity: doras },
      403,
      'client.mismatch',
    );
    expect(record.detail).toBe('no name of the certificate is listed');
  });

  test('compares ids exactly', async () => {
    await refused('/mixed', { client: 'ANN', secret: ofAnn }, 403, 'client.unknown');
  });

  test('is refused before its body is looked at where certificate or credentials prove who sends', async () => {
    await refused('/mixed', { client: 'nobody' }, 403, 'client.unknown');
    await refused('/mixed', { client: 'carl' }, 403, 'client.mismatch');
  });

  test('does not take from the limits of the client that it names', async () => {
    for (let count = 0; count < 3; count += 1) {
      await refused('/limited', { client: 'bob', secret: ofAnn }, 403, 'client.mismatch');
      await refused('/limited', { client: 'carl', secret: ofRoute, identity: doras }, 403, 'client.mismatch');
    }
    await delivered('/limited', { client: 'bob', secret: ofBob }, second);
    await delivered('/limited', { client: 'carl', secret: ofRoute, identity: carls });
  });

  test('is found among 32 secrets, and only as far as a body is small: what is not is refused as any other', async () => {
    const last = { client: 'client-39', id: `msg_${randomUUID()}` };
    await refused('/many', { ...last, secret: many[31] as string }, 403, 'client.mismatch');
    await refused('/many', { ...last, secret: many[32] as string }, 401, 'signature.mismatch');
    const large = JSON.stringify('a'.repeat(900 * 1024));
    const known = { client: 'dora', identity: doras, body: large };
    await refused('/mixed', { ...known, secret: ofAnn }, 403, 'client.mismatch');
    await refused('/mixed', { ...known, secret: ofBob }, 401, 'signature.mismatch');
  });
});

describe('an unknown id', () => {
  test.each([
    ['that nobody has', ['nobody'], 'no client "nobody"'],
    ['that is not there', [], 'no x-codat-clientid'],
    ['beside a known one', ['ann', 'nobody'], 'x-codat-clientid repeated'],
    ['that is the known one twice', ['ann', 'ann'], 'x-codat-clientid repeated'],
  ])('%s is refused as client.unknown', async (_what, client, detail) => {
    const record = await refused('/mixed', { client, secret: ofAnn }, 403, 'client.unknown');
    expect(record.detail).toBe(detail);
    expect(record).not.toHaveProperty('client');
  });

  test('tells a stranger nothing: where only signatures prove who sends, known and unknown ids answer alike', async () => {
    const stranger = newSecret();
    const known = await send('/signed', { client: 'ann', secret: stranger });
    const unknown = await send('/signed', { client: 'nobody', secret: stranger });
    expect([known.status, unknown.status]).toEqual([401, 401]);
    expect(unknown.body).toEqual(known.body);
    await refused('/signed', { client: 'nobody', secret: stranger }, 401, 'signature.mismatch');
    await refused('/signed', { client: 'nobody' }, 401, 'signature.missing');
    await refused('/signed', { client: 'nobody', secret: ofBob }, 403, 'client.unknown');
  });

  test('is let in by what the route itself asks where it is allowed', async () => {
    const { record, seen } = await delivered('/allow', { client: 'nobody', secret: ofRoute, identity: anns });
    expect(record).not.toHaveProperty('client');
    expect(headersOf(seen, 'x-postern-client')).toEqual([]);
    await delivered('/allow', { secret: ofRoute });
    await refused('/allow', { client: 'nobody', secret: newSecret() }, 401, 'signature.mismatch');
  });

  test('that is allowed is refused with what proves a known client, and with two ids', async () => {
    await refused('/allow', { client: 'nobody', secret: ofAnn }, 403, 'client.mismatch');
    const certificate = { client: 'nobody', secret: ofRoute, identity: carls };
    expect((await refused('/allow', certificate, 403, 'client.mismatch')).detail).toBe(
      'the certificate is that of the client carl',
    );
    await refused('/allow', { client: ['nobody', 'ann'], secret: ofRoute }, 403, 'client.unknown');
  });
});

describe('each client', () => {
  test('has its own claims: one id of two clients is two events, and a copy of one is a duplicate', async () => {
    const id = `msg_${randomUUID()}`;
    await delivered('/signed', { client: 'ann', secret: ofAnn, id });
    await delivered('/signed', { client: 'bob', secret: ofBob, id }, second);
    await expectDuplicate(gateway, await send('/signed', { client: 'ann', secret: ofAnn, id }));
  });

  test('has its own limits: the route’s counted for it, or those that it gives', async () => {
    const ann = { client: 'ann', secret: ofAnn };
    await delivered('/limited', ann);
    await refused('/limited', ann, 429, 'rate.exceeded');
    const bob = { client: 'bob', secret: ofBob };
    await delivered('/limited', bob, second);
    expect(await refused('/limited', bob, 429, 'rate.exceeded')).toMatchObject({ client: 'bob' });
    await reload(gateway, {});
    await refused('/limited', ann, 429, 'rate.exceeded');
    await refused('/limited', bob, 429, 'rate.exceeded');
  });

  test('has no limits by address of its own: who names one client after the other has no more of them', async () => {
    await delivered('/addressed', { client: 'ann', secret: ofAnn });
    await delivered('/addressed', { client: 'bob', secret: ofBob }, second);
    await refused('/addressed', { client: 'ann', secret: ofAnn }, 429, 'rate.exceeded');
    await refused('/addressed', { client: 'nobody', secret: ofAnn }, 429, 'rate.exceeded');
  });

  test('is counted by its id, and no id that a sender invents is', async () => {
    const count = (client: string, outcome: string, reason: string): Promise<number | undefined> =>
      metricOf(gateway, 'postern_client_requests_total', { route: 'certified', client, outcome, reason });
    const [before, wrong] = [
      await count('dora', 'delivered', ''),
      await count('dora', 'refused', 'client.mismatch'),
    ];
    await delivered('/certified', { client: 'dora', identity: doras });
    await refused('/certified', { client: 'dora', identity: anns }, 403, 'client.mismatch');
    await refused('/certified', { client: 'invented', identity: anns }, 403, 'client.unknown');
    expect(await count('dora', 'delivered', '')).toBe((before ?? 0) + 1);
    expect(await count('dora', 'refused', 'client.mismatch')).toBe((wrong ?? 0) + 1);
    expect(await count('invented', 'refused', 'client.unknown')).toBeUndefined();
    const labels = { route: 'certified', outcome: 'delivered', reason: '', status: '200' };
    expect(await metricOf(gateway, 'postern_requests_total', labels)).toBeGreaterThan(0);
  });
});

describe('in report mode', () => {
  test('a mismatch goes on by the named client’s route, which is recorded and vouched for to nobody', async () => {
    const id = `msg_${randomUUID()}`;
    const wrong = { client: 'bob', secret: ofAnn, id };
    const { record, seen } = await delivered('/report', wrong, second);
    expect(record).toMatchObject({ client: 'bob', would_refuse: ['client.mismatch'] });
    expect(record).not.toHaveProperty('message_id');
    expect(record).not.toHaveProperty('secret');
    expect(headersOf(seen, 'x-postern-client')).toEqual([]);
    expect(attested(seen)).not.toHaveProperty('client');
    // It claimed nothing: the real event of that id is none of its copies, and it is none of that one's.
    await delivered('/report', { ...wrong, secret: ofBob }, second);
    await delivered('/report', wrong, second);
  });

  test('an unknown id goes on by the route’s own rules', async () => {
    const { record } = await delivered('/report', { client: 'nobody', secret: ofRoute });
    expect(record).toMatchObject({ would_refuse: ['client.unknown'], secret: 0 });
    expect(record).not.toHaveProperty('client');
    const foreign = await delivered('/report', { client: 'nobody', secret: ofAnn });
    expect(foreign.record).toMatchObject({ would_refuse: ['client.unknown'] });
    expect(foreign.record).not.toHaveProperty('message_id');
    await refused('/report', { client: 'nobody', secret: newSecret() }, 401, 'signature.mismatch');
  });

  test('two ids claim nobody’s event', async () => {
    const id = `msg_${randomUUID()}`;
    const both = { client: ['carl', 'ann'], secret: ofRoute, id };
    expect((await delivered('/report', both)).record).toMatchObject({ would_refuse: ['client.unknown'] });
    await delivered('/report', { client: 'carl', secret: ofRoute, id, identity: carls });
  });

  test('a certificate of nobody is recorded', async () => {
    const { record } = await delivered('/report', { client: 'carl', secret: ofRoute, identity: anns });
    expect(record).toMatchObject({ client: 'carl', would_refuse: ['client.mismatch'], secret: 0 });
  });
});
