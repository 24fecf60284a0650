import { expect, test } from 'vitest';
import { expectDuplicate } from './support/expect.ts';
import { startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers } from './support/hold.ts';
import { QUICK_SENDER } from './support/quick-sender.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { startUpstream } from './support/upstream.ts';

test('a request that has waited for its turn, and whose upstream is late then, is queued before its sender gives up', async () => {
  const upstream = await startUpstream();
  const secret = newSecret();
  const gateway = await startGateway(
    {
      state: { driver: 'sqlite', path: 'postern.db' },
      limits: { event_loop_delay: '1m' },
      upstreams: { app: upstream.url },
      routes: [
        {
          name: 'a',
          path: '/a',
          sender: 'quick',
          addresses: 'any',
          upstream: 'app',
          signature: { secrets: [secret] },
          // The sender must have its answer after 2 s; a turn comes within one, and after one the upstream is late.
          rate_limit: { rate: '1/800ms', wait: '1h' },
          clients: { known: [{ id: 'ann', certificate: { names: ['CN:sender'] } }] },
          late: 'queue',
        },
      ],
    },
    { files: { 'senders/quick.yaml': QUICK_SENDER } },
  );
  const held = holdAnswers(upstream);
  const send = (id: string) =>
    post(gateway, { path: '/a', body: '{}', headers: [['x-client', 'ann']], sign: { secret, id } });
  const answers = await Promise.all([send('msg_one'), send('msg_two')]);
  const records = await Promise.all(answers.map(({ id }) => gateway.record(id)));
  expect(records.map(({ status, outcome }) => [status, outcome])).toEqual([
    [202, 'queued'],
    [202, 'queued'],
  ]);
  expect(records.filter(({ ms }) => (ms.waited ?? 0) > 0)).toHaveLength(1);
  held.release();
  for (const { id } of answers)
    expect(await gateway.line((line) => line.msg === 'delivery' && line.id === id)).toMatchObject({
      client: 'ann',
      attempt: 1,
      outcome: 'delivered',
    });
  for (const id of ['msg_one', 'msg_two']) expect(deliveriesOf(upstream, id)).toBe(1);
  // A turn of its own is free again by then, or it waits for it.
  await expectDuplicate(gateway, await send('msg_two'));
});
