import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { makeMessageId, makeSigner, type SendOptions, sendEvent } from '../src/cli/send/event.ts';
import { makeAgent } from '../src/cli/send/post.ts';
import { loadSender } from '../src/config/senders.ts';
import { runCommand } from './support/command.ts';
import { prepareSending, SECRET, signing, verify } from './support/sending.ts';

const { file, asCodat, asAlerts, receive } = prepareSending();

describe('retries', () => {
  it('of codat repeat the same id and body on its schedule, eight attempts in all', async () => {
    const receiver = await receive({ answer: () => ({ status: 500 }) });
    const { exitCode, stdout } = await runCommand(['send', receiver.origin, ...asCodat, '--fast'], signing);
    expect(exitCode).toBe(1);
    expect(stdout.match(/(?:retries in|gives up:) .*/g)).toEqual([
      'retries in 5 s (now: 1 ms)',
      'retries in 5 m (now: 8 ms)',
      'retries in 30 m (now: 50 ms)',
      'retries in 2 h (now: 200 ms)',
      'retries in 5 h (now: 500 ms)',
      'retries in 10 h (now: 1 s)',
      'retries in 10 h (now: 1 s)',
      'gives up: attempts used up',
    ]);
    const { received } = receiver;
    expect(received).toHaveLength(8);
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(received.map(({ body }) => body.toString())).size).toBe(1);
    expect(new Set(received.map(({ connection }) => connection)).size).toBe(1);
    for (const turn of received.keys()) verify(receiver, turn, 'webhook');
  });

  it('are each signed anew, with a time of their own', async () => {
    let turn = 0;
    const receiver = await receive({ answer: () => ({ status: turn === 3 ? 200 : 500 }) });
    const agent = makeAgent(readFileSync(file('ca.pem')), undefined);
    const options: SendOptions = {
      ...{
        url: new URL(receiver.origin),
        method: 'POST',
        agent,
        headers: {},
        deadlineMs: 5_000,
        fasterBy: 1e9,
      },
      profile: loadSender('codat', 'config'),
      signer: makeSigner(SECRET),
      clock: () => new Date(Date.now() - 60_000 * turn++),
    };
    const event = { id: makeMessageId(), type: 'a.test', body: Buffer.from('{}') };
    const came: string[] = [];
    for await (const { next } of sendEvent(event, options)) came.push(next.kind);
    expect(came).toEqual(['retry', 'retry', 'accepted']);
    const field = (name: string) => new Set(receiver.received.map(({ headers }) => headers[name]));
    expect(field('webhook-id').size).toBe(1);
    expect(field('webhook-timestamp').size).toBe(3);
    expect(field('webhook-signature').size).toBe(3);
    for (const index of came.keys()) verify(receiver, index, 'webhook');
    agent.destroy();
  });

  it('of codat-alerts come three times after a 503 and end with the first 2xx', async () => {
    let turn = 0;
    const receiver = await receive({ answer: () => ({ status: turn++ < 3 ? 503 : 200 }) });
    const { exitCode, stdout } = await runCommand(['send', receiver.origin, ...asAlerts, '--fast']);
    expect(exitCode).toBe(0);
    expect(stdout.match(/retries in \S+ \S+|accepted$/gm)).toEqual([
      'retries in 20 s',
      'retries in 40 s',
      'retries in 1 m',
      'accepted',
    ]);
  });
});

describe('a redirect', () => {
  it('is a failure for codat and is not followed', async () => {
    const target = await receive({});
    const headers = { Location: `${target.origin}/moved` };
    let turn = 0;
    const receiver = await receive({ answer: () => (turn++ ? { status: 200 } : { status: 307, headers }) });
    const { stdout } = await runCommand(['send', receiver.origin, ...asCodat, '--fast'], signing);
    expect(stdout).toMatch(/ 307 {2}\d+ ms {2}retries in 5 s/);
    expect(target.received).toEqual([]);
  });

  it('is followed by codat-alerts as the same POST, without Authorization to another origin', async () => {
    const target = await receive({});
    const other = await receive({
      answer: () => ({ status: 301, headers: { Location: `${target.origin}/b` } }),
    });
    const { exitCode, stdout } = await runCommand(['send', `${other.origin}/a`, ...asAlerts]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('  200 after a redirect  ');
    expect(target.received[0]).toMatchObject({ method: 'POST', path: '/b', body: other.received[0]?.body });
    expect(other.received[0]?.headers).toHaveProperty('authorization');
    expect(target.received[0]?.headers).not.toHaveProperty('authorization');
  });

  it('keeps Authorization on the same origin, and ends after ten', async () => {
    const receiver = await receive({ answer: () => ({ status: 308, headers: { Location: '/again' } }) });
    const { exitCode, stdout } = await runCommand(['send', receiver.origin, ...asAlerts]);
    expect(exitCode).toBe(1);
    expect(receiver.received).toHaveLength(11);
    expect(receiver.received.at(-1)?.headers).toHaveProperty('authorization');
    expect(stdout).toContain('308 after 10 redirects');
  });
});
