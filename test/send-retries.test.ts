import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Attempt, makeMessageId, type SendOptions, sendEvent } from '../src/cli/send/event.ts';
import { makeAgent } from '../src/cli/send/post.ts';
import { makeSigner } from '../src/cli/send/sign.ts';
import { loadSender } from '../src/config/senders.ts';
import { runCommand } from './support/command.ts';
import { prepareSending, SECRET, signing, verify } from './support/sending.ts';

const { file, asCodat, asAlerts, receive } = prepareSending();
const FASTER = 1e9;

/** Sends one event as codat, without its certificate, and without its pauses. */
async function sendTo(origin: string, other: Partial<SendOptions>): Promise<Attempt[]> {
  const agent = makeAgent(readFileSync(file('ca.pem')), undefined);
  const own = { url: new URL(origin), method: 'POST', agent, headers: {}, deadlineMs: 5_000 };
  const profile = loadSender('codat', 'config');
  const options = { ...own, fasterBy: FASTER, profile, signer: makeSigner(SECRET), ...other };
  const event = { id: makeMessageId(), type: 'a.test', body: Buffer.from('{}') };
  const came: Attempt[] = [];
  for await (const attempt of sendEvent(event, options)) came.push(attempt);
  agent.destroy();
  return came;
}

describe('retries', () => {
  it('of codat repeat the same id and body on its schedule, eight attempts in all', async () => {
    const receiver = await receive({ answer: () => ({ status: 500 }) });
    const { exitCode, stdout } = await runCommand(['send', receiver.origin, ...asCodat, '--fast'], signing);
    expect(exitCode).toBe(1);
    const lines = stdout
      .match(/(?:retries in|gives up:) .*/g)
      ?.map((line) => line.replace(/ \(now: .*\)/, ''));
    expect(lines).toEqual([
      'retries in 5 s',
      'retries in 5 m',
      'retries in 30 m',
      'retries in 2 h',
      'retries in 5 h',
      'retries in 10 h',
      'retries in 10 h',
      'gives up: attempts used up',
    ]);
    expect(stdout.match(/ \(now: [\d.]+ m?s\)/g)).toHaveLength(7);
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
    const clock = () => new Date(Date.now() - 60_000 * turn++);
    const came = await sendTo(receiver.origin, { clock });
    expect(came.map(({ next }) => next.kind)).toEqual(['retry', 'retry', 'accepted']);
    const field = (name: string) => new Set(receiver.received.map(({ headers }) => headers[name]));
    expect(field('webhook-id').size).toBe(1);
    expect(field('webhook-timestamp').size).toBe(3);
    expect(field('webhook-signature').size).toBe(3);
    for (const index of came.keys()) verify(receiver, index, 'webhook');
  });

  it.each([
    [0, 0.8],
    [0.5, 1],
    [1, 1.2],
  ])('of codat come up to 20 % sooner or later than the schedule (%d: %d)', async (random, share) => {
    const receiver = await receive({ answer: () => ({ status: 500 }) });
    for (const { next, nowMs } of await sendTo(receiver.origin, { random: () => random }))
      if (next.kind === 'retry') expect(nowMs).toBeCloseTo((next.pauseMs * share) / FASTER, 9);
    expect(receiver.received).toHaveLength(8);
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
