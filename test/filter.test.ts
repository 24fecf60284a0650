import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf } from './support/hold.ts';
import { metricOf } from './support/metrics.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
let upstream: Upstream;
let gateway: Gateway;

const route = (name: string, filter: object, more: object = {}) => ({
  name,
  path: `/${name}`,
  addresses: 'any',
  sender: 'codat',
  upstream: 'app',
  signature: { secrets: [secret] },
  filter,
  ...more,
});

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    routes: [
      route('events', { events: ['invoices.write.*', 'company.created'] }),
      route('tags', { tags: ['region:us', 'service:t2k'] }),
      route('both', { events: ['company.*'], tags: ['region:us'] }),
      route('all', { events: ['*'] }),
      route('queued', { events: ['company.created'] }, { deliver: 'queue' }),
      route('open', { events: ['company.created'] }, { signature: undefined }),
    ],
  });
});
afterEach(() => upstream.answer());
afterAll(async () => expect(await gateway.stop()).toBe(0));

const newId = (): string => `msg_${randomUUID()}`;
const send = (path: string, body: string, id: string): Promise<Answer> =>
  post(gateway, { path: `/${path}`, body, sign: { secret, id } });
const event = (eventType: string, tags?: object): string =>
  JSON.stringify({ eventType, payload: { referenceCompany: { id: 'c1', ...(tags && { tags }) } } });

async function expectWanted(path: string, body: string): Promise<void> {
  const id = newId();
  await expectDelivered(gateway, await send(path, body, id));
  expect(deliveriesOf(upstream, id)).toBe(1);
  const seen = upstream.requests.at(-1);
  expect(seen?.body.toString()).toBe(body);
}

/** Acknowledged, recorded, and nothing of it at the upstream; and so is its copy. */
async function expectFiltered(path: string, body: string): Promise<void> {
  const id = newId();
  const answer = await send(path, body, id);
  expect([answer.status, answer.body.toString()]).toEqual([200, '']);
  expect(await gateway.record(answer.id)).toMatchObject({
    outcome: 'filtered',
    status: 200,
    message_id: id,
    route: path,
  });
  await expectDuplicate(gateway, await send(path, body, id));
  expect(deliveriesOf(upstream, id)).toBe(0);
}

describe('a filter by event types', () => {
  test.each(['invoices.write.successful', 'invoices.write.unsuccessful', 'company.created'])(
    'delivers %s, byte for byte',
    (type) => expectWanted('events', event(type)),
  );

  test.each([
    'invoices.read.completed',
    'company.created.twice',
    'company',
    'invoices.write',
    'INVOICES.WRITE.x',
    '',
  ])('acknowledges %s and delivers nothing', (type) => expectFiltered('events', event(type)));

  test('finds the type where the sender puts it: eventType, or type', async () => {
    await expectWanted('events', '{"type":"company.created","payload":{"id":"c1"}}');
    await expectFiltered('events', '{"payload":{"eventType":"company.created"}}');
  });

  test.each([
    '{}',
    '[]',
    '"company.created"',
    '1',
    'null',
    '{"eventType":["company.created"]}',
    '{"__proto__":{"eventType":"company.created"}}',
  ])('acknowledges %s, which has no type', (body) => expectFiltered('events', body));

  test('of a single * delivers all that have a type', async () => {
    await expectWanted('all', event('anything.at.all'));
    await expectFiltered('all', '{}');
  });
});

describe('a filter by company tags', () => {
  test('delivers a message of a company any of whose tags is listed, the others may be others', () =>
    expectWanted('tags', event('invoices.write.successful', { region: 'us', service: 'minerva' })));

  test('ignores a company whose tag has another value', () =>
    expectFiltered('tags', event('invoices.write.successful', { region: 'uk' })));

  test('ignores a company without tags, and a message without a company', async () => {
    await expectFiltered('tags', event('invoices.write.successful'));
    await expectFiltered('tags', '{"eventType":"client.rateLimit.reached","payload":{"dailyQuota":1}}');
  });

  test('finds the tags of a company event, which stand in the payload itself', () =>
    expectWanted('tags', '{"type":"company.created","payload":{"id":"c1","tags":{"region":"us"}}}'));

  test('takes no tag that every object has', () =>
    expectFiltered('tags', event('a', { constructor: 'us', toString: 'us' })));

  test.each([
    ['an object without a text of its own', { toString: null, valueOf: null }],
    ['a list', ['us']],
    ['null', null],
  ])('takes no value that is no text, number or boolean: %s', (_what, region) =>
    expectFiltered('tags', event('a', { region })),
  );

  test('beside event types must both be met', async () => {
    await expectWanted('both', event('company.updated', { region: 'us' }));
    await expectFiltered('both', event('company.updated', { region: 'uk' }));
    await expectFiltered('both', event('invoices.write.successful', { region: 'us' }));
  });
});

describe('a message that cannot be looked into', () => {
  const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;
  test.each([
    ['no JSON', 'eventType=company.created'],
    ['nothing', ''],
    ['JSON cut short', '{"eventType":"company.created"'],
    ['JSON with something behind it', '{"eventType":"company.created"}x'],
    ['nesting 65 deep', deep(65)],
    ['nesting 100,000 deep', deep(100_000)],
  ])('is refused: %s', async (_what, body) => {
    const id = newId();
    await expectRefused(gateway, upstream, () => send('events', body, id), 400, 'filter.malformed');
    // Nothing was claimed: it may come again, and be right then.
    await expectDelivered(gateway, await send('events', event('company.created'), id));
  });

  test('is refused: no UTF-8', async () => {
    const body = Buffer.from('{"eventType":"company.created","a":"\xff"}', 'latin1');
    await expectRefused(
      gateway,
      upstream,
      () => post(gateway, { path: '/open', body }),
      400,
      'filter.malformed',
    );
  });

  test('is one in no other way than by its nesting: brackets in a text do not count', async () => {
    await expectWanted(
      'events',
      JSON.stringify({ eventType: 'company.created', text: '[{"\\"'.repeat(100) }),
    );
    await expectFiltered('events', deep(64));
  });

  test('passes where nothing is filtered, and numbers beyond 2^53 and lone surrogates pass as they are', async () => {
    await expectWanted('events', '{"eventType":"company.created","n":12345678901234567890.10,"s":"\\ud800"}');
  });
});

describe('a filter on a route', () => {
  test('is asked after the signature: a forged message is refused, whatever its type', async () => {
    const forged = { path: '/events', body: event('x'), sign: { secret: newSecret(), id: newId() } };
    await expectRefused(gateway, upstream, () => post(gateway, forged), 401, 'signature.mismatch');
  });

  test('that queues keeps what it filters off the queue', async () => {
    await expectFiltered('queued', event('x'));
    const id = newId();
    expect((await send('queued', event('company.created'), id)).status).toBe(202);
    await gateway.line((line) => line.msg === 'delivery' && line.message_id === id);
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('without a signature acknowledges as well, and is counted', async () => {
    const answer = await post(gateway, { path: '/open', body: event('x') });
    expect(answer.status).toBe(200);
    expect(await gateway.record(answer.id)).toMatchObject({ outcome: 'filtered', route: 'open' });
    const labels = { route: 'open', outcome: 'filtered', reason: '', status: '200' };
    expect(await metricOf(gateway, 'postern_requests_total', labels)).toBe(1);
  });
});
