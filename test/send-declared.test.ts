import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadSender } from '../src/config/senders.ts';
import { runCommand } from './support/command.ts';
import type { Receiver } from './support/receiver.ts';
import { ruleOf, verdictOf } from './support/schemes.ts';
import { prepareSending } from './support/sending.ts';

const { folder, ca, receive } = prepareSending();
const SECRET = 'a-secret-of-the-send-tests';
const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const privatePem = pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
const publicPem = pair.publicKey.export({ format: 'pem', type: 'spki' }).toString();

/** What the gateway's check says of the event that arrived. */
function verdictOn(receiver: Receiver, sender: string, key: string) {
  const [event] = receiver.received;
  if (event === undefined) throw new Error('nothing arrived');
  const headers = Object.entries(event.headers).map(([name, value]) => [name, String(value)] as const);
  return verdictOf(ruleOf(sender), [key], { method: event.method, headers, body: event.body });
}
/** Its signature is what is tested, not its certificate. */
const bare = (sender: string): string[] =>
  loadSender(sender, 'config').clientCertificate ? ['--no-certificate'] : [];
const send = (origin: string, sender: string, secret: string, ...more: string[]) =>
  runCommand(['send', `${origin}/hook`, ...ca, '--sender', sender, ...bare(sender), ...more], {
    POSTERN_SEND_SECRET: secret,
  });

describe('a sender with a declared scheme', () => {
  it.each([
    ['github', SECRET, SECRET],
    ['stripe', SECRET, SECRET],
    ['shopify', SECRET, SECRET],
    ['slack', SECRET, SECRET],
    ['gitlab', SECRET, SECRET],
    ['pagerduty', SECRET, SECRET],
    ['adyen', 'a1'.repeat(32), 'a1'.repeat(32)],
    ['wise', privatePem, publicPem],
    ['fireblocks', privatePem, publicPem],
    ['fireblocks-jws', privatePem, publicPem],
  ])('is played so that its signature holds: %s', async (sender, secret, key) => {
    const receiver = await receive({});
    const { exitCode, stderr } = await send(receiver.origin, sender, secret);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(verdictOn(receiver, sender, key)).toMatchObject({ secret: 0 });
  });

  it('is linear with a body that holds the time of signing, which nobody else can write', async () => {
    const body = join(folder, 'linear.json');
    writeFileSync(body, JSON.stringify({ type: 'Issue', webhookTimestamp: Date.now() }));
    const receiver = await receive({});
    expect((await send(receiver.origin, 'linear', SECRET, '--body', body)).exitCode).toBe(0);
    expect(verdictOn(receiver, 'linear', SECRET)).toMatchObject({ secret: 0 });
    const without = await send(receiver.origin, 'linear', SECRET);
    expect(without.exitCode).toBe(2);
    expect(without.stderr).toContain('--body');
  });

  it.each([
    ['twilio', SECRET, 'cannot sign as twilio'],
    ['wise', SECRET, 'is no private key in PEM'],
    [
      'wise',
      generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
      'of the kind ed25519',
    ],
    ['adyen', SECRET, 'not hexadecimal digits'],
  ])('is not played by what cannot sign: %s %#', async (sender, secret, sentence) => {
    const receiver = await receive({});
    const { exitCode, stderr } = await send(receiver.origin, sender, secret);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(sentence);
    expect(stderr).not.toContain(secret);
    expect(receiver.received).toEqual([]);
  });
});
