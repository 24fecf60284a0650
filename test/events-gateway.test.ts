import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CommandResult, runCommand } from './support/command.ts';
import { startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { headerOf, startUpstream } from './support/upstream.ts';

const secret = newSecret();

test('an operator finds a dead letter beside a gateway that runs, has it delivered, audits it, and lets it come again', async () => {
  const upstream = await startUpstream({
    answer: (_request, response) => response.writeHead(422).end('amount is missing'),
  });
  const gateway = await startGateway({
    state: { driver: 'sqlite', path: 'postern.db' },
    upstreams: { app: upstream.url },
    routes: [
      {
        name: 'orders',
        path: '/orders',
        addresses: 'any',
        upstream: 'app',
        deliver: 'queue',
        signature: { scheme: 'standard-webhooks', secrets: [secret] },
      },
    ],
  });
  const events = (command: string, ...words: string[]): Promise<CommandResult> =>
    runCommand(['events', command, '--config', join(gateway.folder, 'postern.yaml'), ...words]);
  const id = `msg_${randomUUID()}`;
  const send = () => post(gateway, { path: '/orders', body: '{"n":1}', sign: { secret, id } });
  const delivery = (attempt: number, since = 0) =>
    gateway.line((line) => line.msg === 'delivery' && line.attempt === attempt, since);

  expect((await send()).status).toBe(202);
  await delivery(1);
  const shown = await events('show', id);
  expect(shown.stdout).toMatch(/\nstate {5}dead, 1 attempt\n/);
  expect(shown.stdout).toContain('\npayload\n{"n":1}\n');
  expect(shown.stdout).toMatch(/ http:\/\/127\.0\.0\.1:\d+ {2}422\n {7}amount is missing\n$/);

  upstream.answer((_request, response) => response.end('thanks'));
  const retried = await events('retry', '--failed', '--since', '1h');
  expect(retried).toEqual({ exitCode: 0, stdout: '1 event put back into the queue, due now\n', stderr: '' });
  await delivery(2);
  expect(upstream.requests.map((request) => headerOf(request, 'webhook-id'))).toEqual([id, id]);

  const file = join(gateway.folder, 'audit.jsonl');
  expect((await events('audit', '--file', file)).stdout).toContain('1 line appended');
  expect((await events('audit', '--verify', '--file', file)).exitCode).toBe(0);

  expect((await send()).status).toBe(200);
  expect(upstream.requests).toHaveLength(2);
  expect((await events('forget', id, '--route', 'orders')).exitCode).toBe(0);
  const since = gateway.lines.length;
  expect((await send()).status).toBe(202);
  await delivery(1, since);
  expect(upstream.requests).toHaveLength(3);
  expect(await gateway.stop()).toBe(0);
});
