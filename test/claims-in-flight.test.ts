import { randomUUID } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers, settled } from './support/hold.ts';
import { QUICK_SENDER } from './support/quick-sender.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post, requestBytes } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const body = '{"eventType":"claim.test","payload":{"n":1}}';

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const signature = { scheme: 'standard-webhooks', secrets: [secret] };
  const common = { addresses: 'any', signature };
  gateway = await startGateway(
    {
      upstreams: {
        app: upstream.url,
        slow: { targets: [upstream.url], timeout: '300ms', late: '20s' },
        brief: { targets: [upstream.url], timeout: '200ms', late: '600ms' },
      },
      routes: [
        { name: 'a', path: '/a', upstream: 'app', ...common },
        { name: 'slow', path: '/slow', upstream: 'slow', ...common },
        { name: 'brief', path: '/brief', upstream: 'brief', ...common },
        { name: 'quick', path: '/quick', upstream: 'slow', sender: 'quick', ...common },
      ],
    },
    { files: { 'senders/quick.yaml': QUICK_SENDER } },
  );
});
afterEach(() => upstream.answer());

const newId = (): string => `msg_${randomUUID()}`;
const send = (path: string, id: string): Promise<Answer> =>
  post(gateway, { path, body, sign: { secret, id } });
const reached = (id: string) => upstream.request((one) => headerOf(one, 'webhook-id') === id);

describe('copies of an event in flight', () => {
  test.each([200, 202, 503])('wait, and all get the first one’s outcome: %i', async (status) => {
    const id = newId();
    const { release } = holdAnswers(upstream);
    const first = send('/a', id);
    await reached(id);
    const copies = [send('/a', id), send('/a', id), send('/a', id)];
    await settled(gateway);
    expect(deliveriesOf(upstream, id)).toBe(1);
    release(status);
    const answers = await Promise.all([first, ...copies]);
    expect(answers.map((answer) => answer.status)).toEqual([status, status, status, status]);
    expect(deliveriesOf(upstream, id)).toBe(1);
    const outcomes = await Promise.all(
      answers.map(async (answer) => (await gateway.record(answer.id)).outcome),
    );
    expect(outcomes.slice(1)).toEqual(outcomes.slice(1).fill(status < 300 ? 'duplicate' : 'failed'));
  });

  test('twenty at the same instant are one delivery', async () => {
    const id = newId();
    const answers = await Promise.all(Array.from({ length: 20 }, () => send('/a', id)));
    expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('get 503 claim.in_flight when their own deadline passes first', async () => {
    const id = newId();
    const { release } = holdAnswers(upstream);
    const first = send('/quick', id);
    await reached(id);
    await expectProblem(gateway, await first, 504, 'upstream.timeout');
    const copy = await send('/quick', id);
    const record = await expectProblem(gateway, copy, 503, 'claim.in_flight');
    expect(copy.header('retry-after')).toMatch(/^\d+$/);
    expect(record.message_id).toBe(id);
    expect(deliveriesOf(upstream, id)).toBe(1);
    release();
    await expectDuplicate(gateway, await send('/quick', id));
    expect(deliveriesOf(upstream, id)).toBe(1);
  });
});

describe('an upstream slower than its timeout', () => {
  test('is 504 to the sender, and its late 2xx keeps the claim', async () => {
    const id = newId();
    const { release } = holdAnswers(upstream);
    await expectProblem(gateway, await send('/slow', id), 504, 'upstream.timeout');
    const copy = send('/slow', id);
    await settled(gateway);
    release();
    expect((await copy).status).toBe(200);
    await expectDuplicate(gateway, await send('/slow', id));
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('releases the claim with a late failure, and a copy that waited is told to come again', async () => {
    const id = newId();
    const { release } = holdAnswers(upstream);
    await expectProblem(gateway, await send('/slow', id), 504, 'upstream.timeout');
    const copy = send('/slow', id);
    await settled(gateway);
    release(500);
    expect((await copy).status).toBe(500);
    upstream.answer();
    await expectDelivered(gateway, await send('/slow', id));
    expect(deliveriesOf(upstream, id)).toBe(2);
  });

  test('is given up after `late`, and then the event may come again', async () => {
    const id = newId();
    const aborted = new Promise<void>((resolve) => {
      upstream.answer((_request, response) => response.once('close', () => resolve()));
    });
    await expectProblem(gateway, await send('/brief', id), 504, 'upstream.timeout');
    await aborted;
    upstream.answer();
    await settled(gateway);
    await expectDelivered(gateway, await send('/brief', id));
    expect(deliveriesOf(upstream, id)).toBe(2);
  });
});

test('a sender that disconnects after its request was read does not cancel the delivery', async () => {
  const id = newId();
  const { release } = holdAnswers(upstream);
  const connection = await connect(gateway);
  connection.send(requestBytes({ path: '/a', body, sign: { secret, id } }));
  await reached(id);
  connection.close();
  await settled(gateway);
  release();
  const record = await gateway.record((one) => one.message_id === id);
  expect(record.outcome).toBe('delivered');
  await expectDuplicate(gateway, await send('/a', id));
  expect(deliveriesOf(upstream, id)).toBe(1);
});
