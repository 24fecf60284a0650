import { generateKeyPairSync, type KeyObject, randomUUID, sign as signBy } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { defaults, type Identity } from './support/ca.ts';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { untilMetric } from './support/metrics.ts';
import { listed, runFor, runWith } from './support/quarantine.ts';
import { configText } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post, requestBytes } from './support/sender.ts';
import { headersOf, startUpstream, type Upstream } from './support/upstream.ts';

const HEADER = 'x-codat-clientid';
const body = '{"eventType":"orders.made"}';
const [ofRoute, ofAnn, ofBob, rotated] = [newSecret(), newSecret(), newSecret(), newSecret()];
const [annsKey, bobsKey] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
const keyText = (key: KeyObject): string =>
  `whpk_${key.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64')}`;
const scheme = 'standard-webhooks';
const idOf = (): string => `msg_${randomUUID()}`;

let upstream: Upstream;
let narrow: Upstream;
let gateway: Gateway;
let [anns, bobs, carls]: Identity[] = [];

beforeAll(async () => {
  const { authority } = await defaults();
  [anns, bobs, carls] = await Promise.all(
    ['ann', 'bob', 'carl'].map((commonName) => authority.issue({ commonName })),
  );
  [upstream, narrow] = [await startUpstream(), await startUpstream()];
  const route = (name: string, signature: object, clients: object, more: object = {}) => ({
    name,
    path: `/${name}`,
    addresses: 'any',
    upstream: 'app',
    signature: { scheme, ...signature },
    clients: { header: HEADER, ...clients },
    ...more,
  });
  const certified = (id: string, more: object = {}) => ({
    id,
    certificate: { names: [`CN:${id}`] },
    ...more,
  });
  const config = (secrets: readonly string[]) => ({
    state: { driver: 'sqlite', path: 'postern.db' },
    tls: { ...baseTls(), client_certificate: 'optional' },
    limits: { event_loop_delay: '1m' },
    upstreams: {
      app: upstream.url,
      narrow: { targets: [narrow.url], connections: 1, waiting: 1, wait: '1m' },
    },
    routes: [
      route(
        'hidden',
        {},
        {
          known: [
            { id: 'ann', secrets: [ofAnn], upstream: 'narrow' },
            { id: 'bob', secrets: [ofBob] },
          ],
        },
        { certificate: 'none' },
      ),
      route(
        'public',
        {},
        {
          known: [
            { id: 'ann', secrets: [keyText(annsKey.publicKey)] },
            { id: 'bob', secrets: [keyText(bobsKey.publicKey)] },
          ],
        },
      ),
      route(
        'limited',
        {},
        {
          known: [
            { id: 'ann', secrets: [ofAnn], certificate: { names: ['CN:ann'] } },
            { id: 'ann-too', secrets: [ofBob], certificate: { names: ['CN:ann'] } },
          ],
        },
        { rate_limit: { rate: '1/h' } },
      ),
      route(
        'lent',
        { mode: 'report' },
        {
          known: [
            { id: 'ann', secrets: [ofAnn], certificate: { names: ['CN:ann'] } },
            { id: 'ann-too', secrets: [ofBob], certificate: { names: ['CN:ann'] } },
            certified('carl', { secrets: [newSecret()] }),
          ],
        },
      ),
      route(
        'misnamed',
        { secrets: [ofRoute] },
        { mode: 'report', known: [certified('ann'), certified('bob')] },
      ),
      route(
        'kept',
        { secrets },
        { known: [certified('ann'), certified('bob')] },
        { certificate: { names: ['CN:ann', 'CN:bob'], mode: 'report' }, quarantine: { signature: true } },
      ),
      {
        name: 'credentials',
        path: '/credentials',
        addresses: 'any',
        upstream: 'app',
        signature: { scheme, secrets: [ofRoute] },
        authorization: { list: [{ bearer: 'a-bearer-token' }], mode: 'report' },
        quarantine: { signature: true },
      },
    ],
  });
  const files = { 'rotated.yaml': configText(config([ofRoute, rotated])) };
  gateway = await startGateway(config([ofRoute]), { files });
  gateway.secret(rotated);
});

const send = (
  path: string,
  client: string,
  secret: string,
  id = idOf(),
  identity?: Identity,
): Promise<Answer> =>
  post(gateway, {
    path,
    body,
    headers: [[HEADER, client]],
    sign: { secret, id },
    ...(identity && { identity }),
  });

test('an upstream that is full tells a stranger of no client', async () => {
  const held = holdAnswers(narrow);
  const under = [await connect(gateway), await connect(gateway)];
  for (const connection of under) {
    const sign = { secret: ofAnn, id: idOf() };
    connection.send(requestBytes({ path: '/hidden', body, headers: [[HEADER, 'ann']], sign }));
  }
  await held.arrived;
  await untilMetric(gateway, 'postern_requests_in_flight', (value) => value === 2);
  for (const client of ['ann', 'bob', 'nobody'])
    await expectRefused(
      gateway,
      narrow,
      () => send('/hidden', client, rotated, undefined, bobs),
      401,
      'signature.mismatch',
    );
  // Ann herself is told.
  await expectRefused(gateway, narrow, () => send('/hidden', 'ann', ofAnn), 503, 'gateway.overloaded');
  narrow.answer();
  held.release();
  for (const connection of under) await expectDelivered(gateway, await connection.answer());
});

test('a certificate that two clients have vouches for neither while signatures only report', async () => {
  for (const [client, identity, vouched] of [
    ['ann-too', anns, []],
    ['carl', carls, ['carl']],
  ] as const) {
    const id = idOf();
    const record = await expectDelivered(gateway, await send('/lent', client, rotated, id, identity));
    expect(record.would_refuse).toEqual(['signature.mismatch']);
    const seen = await upstream.request((one) => headersOf(one, 'webhook-id').includes(id));
    expect(headersOf(seen, 'x-postern-client')).toEqual(vouched);
  }
  const { stdout } = await runFor(gateway, 'check');
  expect(stdout).toContain('for the clients that only their secrets prove: ann, ann-too');
});

test('what comes with another’s certificate in report mode claims nothing of the client that it names', async () => {
  const id = idOf();
  const wrong = await expectDelivered(gateway, await send('/misnamed', 'ann', ofRoute, id, bobs));
  expect([wrong.would_refuse, wrong.message_id]).toEqual([['client.mismatch'], undefined]);
  await expectDelivered(gateway, await send('/misnamed', 'ann', ofRoute, id, anns));
  await expectDuplicate(gateway, await send('/misnamed', 'ann', ofRoute, id, anns));
});

describe('a quarantine keeps nothing that a check has not let in', () => {
  test('though only the signature is asked before the client', async () => {
    const id = idOf();
    for (const [client, reason] of [
      ['ann', 'client.mismatch'],
      ['nobody', 'client.unknown'],
    ] as const) {
      const act = () => send('/kept', client, rotated, id, bobs);
      const { record } = await expectRefused(gateway, upstream, act, 401, 'signature.mismatch');
      expect(record.detail).toContain(`not quarantined: ${reason}`);
    }
    expect(await listed(gateway, '--id', id)).toEqual([]);
    const answer = await send('/kept', 'bob', rotated, id, bobs);
    expect((await gateway.record(answer.id)).outcome).toBe('quarantined');
    const released = await runWith('rotated.yaml', gateway, 'events', 'release', '--route', 'kept');
    expect([released.exitCode, released.stderr]).toEqual([0, '']);
    const seen = await upstream.request((one) => headersOf(one, 'webhook-id').includes(id));
    expect(headersOf(seen, 'x-postern-client')).toEqual(['bob']);
  });

  test('by credentials that are only reported', async () => {
    const act = () => post(gateway, { path: '/credentials', body, sign: { secret: rotated } });
    const { record } = await expectRefused(gateway, upstream, act, 401, 'signature.mismatch');
    expect(record.detail).toContain('not quarantined: authorization.missing is only reported');
  });
});

test('whose a signature is, is not looked for where many signatures make a large body many times as large', async () => {
  const large = 'x'.repeat(64 * 1024);
  const refused = (signatures: number, status: number, reason: string) => {
    const [id, timestamp] = [idOf(), String(Math.floor(Date.now() / 1000))];
    const bobs = `v1a,${signBy(undefined, Buffer.from(`${id}.${timestamp}.${large}`), bobsKey.privateKey).toString('base64')}`;
    const other = `v1a,${Buffer.alloc(64).toString('base64')}`;
    const headers = [
      [HEADER, 'ann'],
      ['webhook-id', id],
      ['webhook-timestamp', timestamp],
      ['webhook-signature', [bobs, ...Array.from({ length: signatures - 1 }, () => other)].join(' ')],
    ] as const;
    const act = () => post(gateway, { path: '/public', body: large, headers });
    return expectRefused(gateway, upstream, act, status, reason);
  };
  await refused(32, 403, 'client.mismatch');
  await refused(33, 401, 'signature.mismatch');
});

test('who has a certificate in common with a client uses up none of its limits', async () => {
  const by = (secret: string) => () => send('/limited', 'ann', secret, undefined, anns);
  await expectRefused(gateway, upstream, by(ofBob), 403, 'client.mismatch');
  await expectDelivered(gateway, await by(ofAnn)());
  await expectRefused(gateway, upstream, by(ofAnn), 429, 'rate.exceeded');
});
