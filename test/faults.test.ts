import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { defaults } from './support/ca.ts';
import { expectDelivered, expectDuplicate, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers } from './support/hold.ts';
import { readiness } from './support/readiness.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const body = '{"eventType":"read.completed"}';
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

const config = (more: Record<string, unknown> = {}) => ({
  limits: { drain_timeout: '8s' },
  state: { driver: 'sqlite', path: 'postern.db' },
  upstreams: { app: { targets: [upstream.url], timeout: '300ms', late: '20s', ...more } },
  routes: [
    { name: 'events', path: '/events', upstream: 'app', addresses: 'any', signature: { secrets: [secret] } },
  ],
});
const newId = (): string => `msg_${randomUUID()}`;
const send = (gateway: Gateway, id: string) => post(gateway, { path: '/events', body, sign: { secret, id } });

test('SIGTERM waits for an exchange whose sender was told 504: its late success is known after the restart', async () => {
  const first = await startGateway(config());
  const { release } = holdAnswers(upstream);
  const id = newId();
  await expectProblem(first, await send(first, id), 504, 'upstream.timeout');
  first.signal('SIGTERM');
  await first.line(({ msg }) => msg === 'draining');
  release();
  expect(await first.exited).toBe(0);
  const messages = first.lines.map(({ msg }) => msg);
  expect(messages.slice(-2)).toEqual(['late answer', 'stopped']);
  upstream.answer();
  const second = await startGateway(config(), { folder: first.folder });
  await expectDuplicate(second, await send(second, id));
  expect(deliveriesOf(upstream, id)).toBe(1);
  expect(await second.stop()).toBe(0);
});

test('a request that was given up while it waited for a connection is never sent', async () => {
  const gateway = await startGateway(config({ connections: 1 }));
  const { arrived, release } = holdAnswers(upstream);
  const [first, second] = [newId(), newId()];
  const answers = [send(gateway, first)];
  await arrived;
  answers.push(send(gateway, second));
  for (const answer of answers) await expectProblem(gateway, await answer, 504, 'upstream.timeout');
  release();
  await gateway.line((line) => line.msg === 'late answer' && line.message_id === first);
  upstream.answer();
  // The same connection is free again, and what it carries next is the next event, not the one given up.
  const third = newId();
  await expectDelivered(gateway, await send(gateway, third));
  expect([first, second, third].map((id) => deliveriesOf(upstream, id))).toEqual([1, 0, 1]);
  await expectDelivered(gateway, await send(gateway, second));
  expect(await gateway.stop()).toBe(0);
});

test('a second process on one state file knows what the first has delivered, and the other way round', async () => {
  const first = await startGateway(config());
  const early = newId();
  await expectDelivered(first, await send(first, early));
  const second = await startGateway(config(), { folder: first.folder });
  await expectDuplicate(second, await send(second, early));
  const late = newId();
  await expectDelivered(second, await send(second, late));
  await expectDuplicate(first, await send(first, late));
  expect([early, late].map((id) => deliveriesOf(upstream, id))).toEqual([1, 1]);
  for (const gateway of [first, second])
    expect(gateway.lines.filter(({ msg }) => msg === 'state')).toEqual([]);
  expect(await first.stop()).toBe(0);
  expect(await second.stop()).toBe(0);
});

test('a state file that is removed while in use is noticed: nothing is delivered that would be forgotten', async () => {
  const gateway = await startGateway(config());
  await expectDelivered(gateway, await send(gateway, newId()));
  await rm(join(gateway.folder, 'postern.db'));
  let ready = await readiness(gateway);
  while (ready === 200) ready = await readiness(gateway);
  expect(ready).toBe(503);
  await expectProblem(gateway, await send(gateway, newId()), 503, 'state.unavailable');
  expect(await gateway.stop()).toBe(0);
});

test('a client certificate without a subject is as good as any other', async () => {
  const { authority } = await defaults();
  const identity = await authority.issue({
    subject: '',
    names: [{ type: 'url', value: 'spiffe://example/sender' }],
  });
  const gateway = await startGateway({
    ...config(),
    routes: [
      {
        name: 'a',
        path: '/a',
        upstream: 'app',
        addresses: 'any',
        certificate: { names: ['URI:spiffe://example/sender'] },
      },
    ],
  });
  const answer = await post(gateway, { path: '/a', body, identity });
  const record = await expectDelivered(gateway, answer);
  expect(record.peer.certificate).toEqual({ subject: '', fingerprint: identity.fingerprint });
  expect(await gateway.stop()).toBe(0);
});
