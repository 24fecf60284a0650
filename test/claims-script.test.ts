import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { expectProblem } from './support/expect.ts';
import { startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers } from './support/hold.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { startUpstream } from './support/upstream.ts';

test('an exchange at the upstream that a script has chosen keeps its claim as long as it may run on there', async () => {
  const [brief, patient] = [await startUpstream(), await startUpstream()];
  const secret = newSecret();
  const gateway = await startGateway(
    {
      limits: { event_loop_delay: '1m' },
      upstreams: {
        brief: { targets: [brief.url], timeout: '300ms', late: '0s' },
        patient: { targets: [patient.url], late: '1m' },
      },
      routes: [
        {
          name: 'a',
          path: '/a',
          addresses: 'any',
          upstream: 'brief',
          transform: 'script.js',
          signature: { scheme: 'standard-webhooks', secrets: [secret] },
        },
      ],
    },
    {
      env: { CLOCK_LEAP_MS: '10000' },
      preload: fileURLToPath(new URL('./support/leaping-clock.mjs', import.meta.url)),
      files: {
        'script.js': `function handler(webhook) { webhook.url = 'upstream:patient/b'; return webhook; }`,
      },
    },
  );
  const held = holdAnswers(patient);
  const id = 'msg_once';
  const send = () => post(gateway, { path: '/a', body: '{}', sign: { secret, id } });
  await expectProblem(gateway, await send(), 504, 'upstream.timeout');
  gateway.signal('SIGUSR2');
  await expectProblem(gateway, await send(), 503, 'claim.in_flight');
  expect(deliveriesOf(patient, id)).toBe(1);
  held.release();
});
