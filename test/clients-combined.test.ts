import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { type Config, type Gateway, startGateway } from './support/gateway.ts';
import { holdAnswers } from './support/hold.ts';
import { metric } from './support/metrics.ts';
import { listed, runFor, runWith } from './support/quarantine.ts';
import { configText } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { headersOf, type SeenRequest, startUpstream, type Upstream } from './support/upstream.ts';

const HEADER = 'x-codat-clientid';
const body = '{"eventType":"orders.made"}';
const [ofAnn, ofBob, rotated, key] = [newSecret(), newSecret(), newSecret(), newSecret(48)];
let [anns, others]: Upstream[] = [];
beforeAll(async () => {
  [anns, others] = [await startUpstream(), await startUpstream()];
});

const known = (secret = ofAnn) => [
  { id: 'ann', secrets: [secret], upstream: 'anns' },
  { id: 'bob', secrets: [ofBob], upstream: 'others' },
];
const config = (more: Config, clients: Config = { known: known() }): Config => ({
  state: { driver: 'sqlite', path: 'postern.db' },
  upstreams: {
    anns: { targets: [anns?.url], timeout: '400ms', late: '20s' },
    others: { targets: [others?.url] },
  },
  routes: [
    {
      name: 'a',
      path: '/a',
      addresses: 'any',
      upstream: 'others',
      signature: { scheme: 'standard-webhooks' },
      attest: { key },
      clients: { header: HEADER, ...clients },
      ...more,
    },
  ],
});
const idOf = (): string => `msg_${randomUUID()}`;
const send = (gateway: Gateway, client: string, secret: string, id = idOf()) =>
  post(gateway, { path: '/a', body, headers: [[HEADER, client]], sign: { secret, id } });
const seenBy = (upstream: Upstream | undefined, id: string): readonly SeenRequest[] =>
  (upstream as Upstream).requests.filter((one) => headersOf(one, 'webhook-id').includes(id));
const toldOf = (seen: SeenRequest | undefined): unknown => {
  const [attestation = ''] = headersOf(seen as SeenRequest, 'x-postern-attestation');
  return [headersOf(seen as SeenRequest, 'x-postern-client'), decodeJwt(attestation).client];
};
const delivery = (gateway: Gateway, event: string) =>
  gateway.line((line) => line.msg === 'delivery' && line.id === event);

describe('a quarantine for clients', () => {
  const quarantine = { quarantine: { signature: true } };
  let gateway: Gateway;
  beforeAll(async () => {
    const files = { 'rotated.yaml': configText(config(quarantine, { known: known(rotated) })) };
    gateway = await startGateway(config(quarantine), { files });
    gateway.secret(rotated);
  });
  const unproved = async (client: string, id?: string): Promise<string> => {
    const answer = await send(gateway, client, rotated, id);
    const record = await gateway.record(answer.id);
    expect([answer.status, record.outcome, record.reason, record.client]).toEqual([
      202,
      'quarantined',
      'signature.mismatch',
      client,
    ]);
    return answer.id;
  };

  test('releases by the secrets of the client that an event is of, to its own upstream', async () => {
    const id = idOf();
    const [event, bobs] = [await unproved('ann', id), await unproved('bob')];
    const route = { route: 'a', client: 'ann', state: 'quarantined', message_id: id };
    expect(await listed(gateway, '--id', event)).toMatchObject([route]);
    const explained = await runFor(gateway, 'explain', '--id', event, '--json');
    expect(JSON.parse(explained.stdout)).toMatchObject({ client: 'ann', reason: 'signature.mismatch' });

    const released = await runWith('rotated.yaml', gateway, 'events', 'release', '--route', 'a');
    expect([released.exitCode, released.stdout]).toEqual([1, '1 event released, due now\n']);
    expect(released.stderr).toContain(`${bobs} (route a/bob): its signature does not hold`);
    expect(await delivery(gateway, event)).toMatchObject({
      route: 'a',
      client: 'ann',
      outcome: 'delivered',
      message_id: id,
    });
    const [seen, ...more] = seenBy(anns, id);
    expect([toldOf(seen), more]).toEqual([[['ann'], 'ann'], []]);
    await expectDuplicate(gateway, await send(gateway, 'ann', ofAnn, id));
    // Another client's event of the same id is another event.
    await expectDelivered(gateway, await send(gateway, 'bob', ofBob, id));
    expect(seenBy(anns, id)).toHaveLength(1);
    expect(seenBy(others, id)).toHaveLength(1);
  });

  test('tells the upstream of no client where somebody forced what no secret proves', async () => {
    const id = idOf();
    const event = await unproved('ann', id);
    const forced = await runFor(gateway, 'events', 'release', event, '--force', '--reason', 'looked at');
    expect([forced.exitCode, forced.stderr]).toEqual([0, '']);
    expect(await delivery(gateway, event)).toMatchObject({ outcome: 'delivered', forced: true });
    const [seen] = seenBy(anns, id);
    expect(headersOf(seen as SeenRequest, 'x-postern-forced')).toEqual(['1']);
    expect(toldOf(seen)).toEqual([[], undefined]);
  });

  test('keeps nothing that another client has signed', async () => {
    await expectRefused(gateway, anns as Upstream, () => send(gateway, 'ann', ofBob), 403, 'client.mismatch');
    expect(
      await metric(gateway, 'postern_client_queue_events{route="a",client="bob",state="quarantined"}'),
    ).toBe(1);
  });
});

test('a signature in report mode vouches for no client that only its secret proves', async () => {
  const gateway = await startGateway(
    config({ signature: { scheme: 'standard-webhooks', mode: 'report' }, unsafe_open: true }),
  );
  for (const secret of [rotated, ofAnn]) {
    const id = idOf();
    const record = await expectDelivered(gateway, await send(gateway, 'ann', secret, id));
    const isOwn = secret === ofAnn;
    expect([record.client, record.would_refuse]).toEqual(['ann', isOwn ? undefined : ['signature.mismatch']]);
    const [seen] = seenBy(anns, id);
    expect(toldOf(seen)).toEqual([[], undefined]);
  }
  const { stdout } = await runFor(gateway, 'check');
  expect(stdout).toContain('for the clients that only their secrets prove: ann, bob');
});

test('a late event of a client goes into its own queue, and on to its own upstream', async () => {
  const gateway = await startGateway(config({ late: 'queue', retry: { attempts: 3, schedule: ['50ms'] } }));
  const held = holdAnswers(anns as Upstream);
  const id = idOf();
  const sending = send(gateway, 'ann', ofAnn, id);
  await held.arrived;
  const answer = await sending;
  expect([answer.status, (await gateway.record(answer.id)).outcome]).toEqual([202, 'queued']);
  expect(await listed(gateway, '--route', 'a/ann')).toMatchObject([{ state: 'delivering', message_id: id }]);
  held.release();
  expect(await delivery(gateway, answer.id)).toMatchObject({
    route: 'a',
    client: 'ann',
    outcome: 'delivered',
  });
  expect(seenBy(anns, id)).toHaveLength(1);
  expect(seenBy(others, id)).toEqual([]);
  (anns as Upstream).answer();
});

test('a client that waits for its turn keeps no other client waiting', async () => {
  const gateway = await startGateway(config({ rate_limit: { rate: '1/30m', wait: '1h', waiting: 1 } }));
  await expectDelivered(gateway, await send(gateway, 'ann', ofAnn));
  // One of the two waits for half an hour, the other is one too many.
  const both = [send(gateway, 'ann', ofAnn), send(gateway, 'ann', ofAnn)];
  const waited = Promise.allSettled(both);
  const refused = await Promise.race(both);
  const record = await gateway.record(refused.id);
  expect([record.client, record.status, record.reason]).toEqual(['ann', 429, 'rate.exceeded']);
  await expectDelivered(gateway, await send(gateway, 'bob', ofBob));
  await gateway.kill9();
  await waited;
});

test('the secrets of clients are counted as theirs', async () => {
  const gateway = await startGateway(config({}));
  await expectDelivered(gateway, await send(gateway, 'ann', ofAnn));
  await expectDelivered(gateway, await send(gateway, 'bob', ofBob));
  await expectDelivered(gateway, await send(gateway, 'bob', ofBob));
  for (const [lane, matches] of [
    ['a/ann', 1],
    ['a/bob', 2],
  ] as const)
    expect(await metric(gateway, `postern_secret_matches_total{route="${lane}",secret="0"}`)).toBe(matches);
});
