import { randomUUID } from 'node:crypto';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, type Held, holdAnswers, settled } from './support/hold.ts';
import { metricOf } from './support/metrics.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post, requestBytes } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
let one: Upstream;
let two: Upstream;
let gateway: Gateway;
const held: Held[] = [];

beforeAll(async () => {
  one = await startUpstream();
  two = await startUpstream();
  const pair = { targets: [one.url, two.url] };
  const upstreams = {
    pair: { ...pair, connections: 1 },
    few: { ...pair, concurrency: 2 },
    full: { targets: [one.url], concurrency: 1, waiting: 1 },
    none: { targets: [one.url], concurrency: 1, waiting: 0 },
    brief: { targets: [one.url], connections: 1, wait: '200ms' },
  };
  const common = { addresses: 'any', signature: { secrets: [secret] } };
  gateway = await startGateway({
    upstreams,
    routes: [
      ...Object.keys(upstreams).map((name) => ({ name, path: `/${name}`, upstream: name, ...common })),
      { name: 'open', path: '/open', upstream: 'full', addresses: 'any' },
    ],
  });
});
afterEach(() => {
  for (const { release } of held.splice(0)) release();
  for (const upstream of [one, two]) upstream.answer();
});

const newId = (): string => `msg_${randomUUID()}`;
const send = (upstream: string, id: string): Promise<Answer> =>
  post(gateway, { path: `/${upstream}`, body: `{"id":"${id}"}`, sign: { secret, id } });
const hold = (upstream: Upstream): Held => {
  const holding = holdAnswers(upstream);
  held.push(holding);
  return holding;
};
const arrived = (upstream: Upstream, id: string) =>
  upstream.request((request) => headerOf(request, 'webhook-id') === id);
const seen = (id: string): [number, number] => [deliveriesOf(one, id), deliveriesOf(two, id)];

test.each([0, 1])(
  'one that waits takes the first connection that is free, whichever target it belongs to: %i',
  async (place) => {
    const holds = [hold(one), hold(two)];
    const [a, b, waiting] = [newId(), newId(), newId()];
    const answers = [send('pair', a), send('pair', b)];
    await Promise.all(holds.map((holding) => holding.arrived));
    const answer = send('pair', waiting);
    await settled(gateway);
    expect(seen(waiting)).toEqual([0, 0]);
    const free = [one, two][place] as Upstream;
    holds[place]?.release();
    await arrived(free, waiting);
    for (const holding of holds) holding.release();
    const record = await expectDelivered(gateway, await answer);
    expect(record.upstream).toBe(free.url);
    for (const other of answers) await expectDelivered(gateway, await other);
  },
);

test('concurrency is of the whole upstream', async () => {
  const holds = [hold(one), hold(two)];
  const ids = [newId(), newId(), newId(), newId()];
  const answers = ids.map((id) => send('few', id));
  await Promise.all(holds.map((holding) => holding.arrived));
  await settled(gateway);
  expect(ids.filter((id) => seen(id).includes(1))).toHaveLength(2);
  for (const upstream of [one, two]) upstream.answer();
  for (const holding of holds) holding.release();
  for (const answer of answers) await expectDelivered(gateway, await answer);
  for (const id of ids) expect(seen(id).toSorted()).toEqual([0, 1]);
});

test('while as many wait as may, nothing is spent on another: not its signature, and not its body', async () => {
  const holding = hold(one);
  const answers = [send('full', newId())];
  await holding.arrived;
  answers.push(send('full', newId()));
  await settled(gateway);
  const connection = await connect(gateway);
  // It promises a body that does not come, and would be 401 for its missing signature.
  connection.send(
    'POST /full HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n',
  );
  const record = await expectProblem(gateway, await connection.answer(), 503, 'gateway.overloaded');
  expect(record.bytes).toBe(0);
  holding.release();
  one.answer();
  for (const answer of answers) await expectDelivered(gateway, await answer);
  const unsigned = await post(gateway, { path: '/full', body: '{}' });
  await expectProblem(gateway, unsigned, 401, 'signature.missing');
});

test.each([
  ['full', 1],
  ['none', 0],
])(
  '%s: more than may wait are 503 at once, with Retry-After, and their events are free',
  async (name, most) => {
    const holding = hold(one);
    const [first, waiting, refused] = [newId(), newId(), newId()];
    const answers = [send(name, first)];
    await holding.arrived;
    if (most > 0) answers.push(send(name, waiting));
    await settled(gateway);
    const answer = await send(name, refused);
    const record = await expectProblem(gateway, answer, 503, 'gateway.overloaded');
    expect(record.detail).toBe(`${name}: as many as may wait already do (waiting: ${most})`);
    expect(Number(answer.header('retry-after'))).toBeGreaterThan(0);
    expect([record.outcome, record.upstream]).toEqual(['failed', undefined]);
    holding.release();
    one.answer();
    for (const other of answers) await expectDelivered(gateway, await other);
    expect(seen(refused)).toEqual([0, 0]);
    await expectDelivered(gateway, await send(name, refused));
    expect(seen(refused)).toEqual([1, 0]);
  },
);

test('one that waits too long is 503, and its event is free', async () => {
  const holding = hold(one);
  const [first, waiting] = [newId(), newId()];
  const answer = send('brief', first);
  await holding.arrived;
  const late = await send('brief', waiting);
  const record = await expectProblem(gateway, late, 503, 'gateway.overloaded');
  expect(record.detail).toBe('brief: no connection was free within 200 ms (wait)');
  expect(Number(late.header('retry-after'))).toBeGreaterThan(0);
  holding.release();
  one.answer();
  await expectDelivered(gateway, await answer);
  expect(seen(waiting)).toEqual([0, 0]);
  await expectDelivered(gateway, await send('brief', waiting));
});

test('one whose sender leaves while it waits is dropped, body and all, and its place is another’s', async () => {
  const holding = hold(one);
  const [first, body, next] = [newId(), `gone ${randomUUID()}`, newId()];
  const answers = [send('full', first)];
  await holding.arrived;
  const since = gateway.lines.length;
  const connection = await connect(gateway);
  connection.send(requestBytes({ path: '/open', body }));
  await settled(gateway);
  connection.close();
  const record = await gateway.record(({ path }) => path === '/open', since);
  expect([record.status, record.reason]).toEqual([undefined, 'body.incomplete']);
  answers.push(send('full', next));
  await settled(gateway);
  one.answer();
  holding.release();
  for (const answer of answers) await expectDelivered(gateway, await answer);
  expect(await metricOf(gateway, 'postern_buffered_body_bytes')).toBe(0);
  expect(one.requests.filter((request) => request.body.toString() === body)).toEqual([]);
});

test('what waits when the process must end is told so', async () => {
  const own = await startGateway({
    limits: { drain_timeout: '2s' },
    upstreams: { app: { targets: [one.url], connections: 1 } },
    routes: [{ name: 'a', path: '/a', addresses: 'any', upstream: 'app' }],
  });
  const holding = hold(one);
  const answers = [post(own, { path: '/a', body: 'x' })];
  await holding.arrived;
  answers.push(post(own, { path: '/a', body: 'y' }));
  await settled(own);
  own.signal('SIGTERM');
  for (const answer of answers) await expectProblem(own, await answer, 503, 'gateway.draining');
  expect(await own.exited).toBe(0);
});
