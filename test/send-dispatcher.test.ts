import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { makeSigner } from '../src/cli/send/sign.ts';
import { readSignatureKey } from '../src/config/signature-keys.ts';
import type { SignatureKey } from '../src/signature-settings.ts';
import { runCommand } from './support/command.ts';
import { prepareSending, SECRET, signing } from './support/sending.ts';
import { verdictOf } from './support/verifier.ts';

const { asCodat, asAlerts, receive } = prepareSending();

/** What was sent, as far as it makes a difference to whom receives it. */
const bytesOf = ({ rawHeaders, body }: { rawHeaders: readonly string[]; body: Buffer }) => [
  ...rawHeaders,
  body.toString(),
];

describe('the request of Svix’s dispatcher', () => {
  it('spells its fields in title case, those of the event in lower case, and custom ones as they were typed', async () => {
    const receiver = await receive({});
    const custom = ['--header', 'AUTHORIZATION: Bearer a', '--header', 'x-Codat-ClientId: 4f2c1e'];
    await runCommand(['send', receiver.origin, ...asCodat, ...custom], signing);
    const names = receiver.received[0]?.rawHeaders.filter((_, place) => place % 2 === 0);
    expect(names).toEqual([
      'Host',
      'Accept',
      'content-type',
      'webhook-id',
      'webhook-timestamp',
      'webhook-signature',
      'user-agent',
      'AUTHORIZATION',
      'x-Codat-ClientId',
      'Content-Length',
    ]);
  });

  it('has each field once where a custom one takes the place of its own', async () => {
    const receiver = await receive({});
    await runCommand(['send', receiver.origin, ...asCodat, '--header', 'Content-Type: text/plain'], signing);
    const fields = receiver.received[0]?.rawHeaders ?? [];
    expect(fields.filter((text) => /^content-type$/i.test(text))).toEqual(['Content-Type']);
    expect(fields).toContain('text/plain');
  });
});

describe('a connection that breaks', () => {
  it('makes the dispatcher send the same bytes again at once, as one attempt', async () => {
    let turn = 0;
    const receiver = await receive({ answer: () => (turn++ === 0 ? 'break' : { status: 200 }) });
    const { exitCode, stdout } = await runCommand(['send', receiver.origin, ...asCodat], signing);
    expect(exitCode).toBe(0);
    const [first, second] = receiver.received;
    expect(receiver.received).toHaveLength(2);
    expect(bytesOf(second ?? fail())).toEqual(bytesOf(first ?? fail()));
    expect(first?.headers).toHaveProperty('webhook-signature');
    expect(stdout).toMatch(/ 1\/8 {2}200 \(resent at once after: connection closed by the other end\) {2}\d/);
  });

  it('makes it do so once, and then pause as after any failure', async () => {
    const receiver = await receive({
      answer: () => (receiver.received.length <= 4 ? 'break' : { status: 200 }),
    });
    const { stdout } = await runCommand(['send', receiver.origin, ...asCodat, '--fast', '--json'], signing);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const broke = 'connection closed by the other end';
    expect(lines).toMatchObject([
      { attempt: 1, error: broke, resent_after: broke, next: 'retry', pause_ms: 5_000 },
      { attempt: 2, error: broke, resent_after: broke, next: 'retry', pause_ms: 300_000 },
      { attempt: 3, status: 200 },
    ]);
    expect(lines[2]).not.toHaveProperty('resent_after');
    expect(receiver.received).toHaveLength(5);
  });

  it('is not followed at once by the same bytes when more than a second has gone by', async () => {
    const answer = async () => {
      if (receiver.received.length > 1) return { status: 200 };
      await pause(1_100);
      return 'break' as const;
    };
    const receiver = await receive({ answer });
    const { stdout } = await runCommand(['send', receiver.origin, ...asCodat, '--fast'], signing);
    expect(stdout).toMatch(
      / 1\/8 {2}no answer: connection closed by the other end {2}\d+ ms {2}retries in 5 s/,
    );
    expect(receiver.received).toHaveLength(2);
  });

  it('is not followed by the same bytes after a missed deadline, nor by a sender that is not Svix', async () => {
    const silent = await receive({ answer: () => (silent.received.length > 1 ? { status: 200 } : 'never') });
    const missed = ['--timeout', '300ms', '--fast'];
    const { stdout } = await runCommand(['send', silent.origin, ...asCodat, ...missed], signing);
    expect(stdout).toMatch(/ 1\/8 {2}no answer: no answer within 300 ms {2}\d+ ms {2}retries in 1 m/);
    expect(silent.received).toHaveLength(2);
    const breaking = await receive({
      answer: () => (breaking.received.length > 1 ? { status: 200 } : 'break'),
    });
    const alerts = await runCommand(['send', breaking.origin, ...asAlerts, '--fast']);
    expect(alerts.stdout).toMatch(/ 1\/4 {2}no answer: connection closed by the other end {2}\d/);
  });
});

describe('an answer', () => {
  it('counts by its status line, whether or not its body ends', async () => {
    const receiver = await receive({ answer: () => ({ status: 202, endless: true }) });
    const args = ['send', receiver.origin, ...asCodat, '--timeout', '300ms'];
    const { exitCode, stdout } = await runCommand(args, signing);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/ 1\/8 {2}202 {2}\d+ ms {2}accepted\n/);
  });
});

describe('a rotation', () => {
  it('signs with the current secret and ten old ones, in this order, separated by spaces', async () => {
    const secrets = [
      SECRET,
      ...Array.from({ length: 10 }, (_, n) => `whsec_${Buffer.alloc(24, n).toString('base64')}`),
    ];
    const receiver = await receive({});
    const env = { POSTERN_SEND_SECRET: secrets.join(' ') };
    expect((await runCommand(['send', receiver.origin, ...asCodat], env)).exitCode).toBe(0);
    const { headers, body } = receiver.received[0] ?? fail();
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
    const expected = secrets.map((secret) => {
      const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
      return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
    });
    expect(expected).toHaveLength(11);
    expect(headers['webhook-signature']).toBe(expected.join(' '));
  });

  it('may go from an HMAC secret to an Ed25519 key: v1a stands beside v1, and each holds alone', async () => {
    const { key, secret } = ed25519();
    const receiver = await receive({});
    const given = ['--secret', secret, '--secret', SECRET];
    expect((await runCommand(['send', receiver.origin, ...asCodat, ...given])).exitCode).toBe(0);
    const { headers, body } = receiver.received[0] ?? fail();
    expect(headers['webhook-signature']).toMatch(/^v1a,\S+ v1,\S+$/);
    const event = {
      family: 'webhook' as const,
      id: String(headers['webhook-id']),
      timestamp: String(headers['webhook-timestamp']),
      signature: String(headers['webhook-signature']),
      body: body.toString(),
    };
    expect(verdictOf(event, [key])).toMatchObject({ secret: 0 });
    expect(verdictOf(event, [readSignatureKey(SECRET) as SignatureKey])).toMatchObject({ secret: 0 });
    expect(verdictOf(event, [ed25519().key])).toMatchObject({ reason: 'signature.mismatch' });
  });
});

describe('v1a', () => {
  const at = new Date(1_614_265_330_000);
  const published =
    'v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==';
  const seed = 'VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=';

  it.each([
    ['its 32 bytes', ''],
    ['these and the 32 of its public key', 'd'],
  ])('is the signature that the Go library’s vector has, from a key of %s', (_what, both) => {
    const bytes = Buffer.from(seed, 'base64');
    const whole = both ? Buffer.concat([bytes, publicHalf(bytes)]) : bytes;
    const signer = makeSigner(`whsk_${whole.toString('base64')}`);
    const body = Buffer.from('{"test": 2432232314}');
    expect(signer('msg_p5jXN8AQM9LWM0D4loKWxJek', at, body)).toBe(published);
  });
});

/** A new Ed25519 key: as the sender has it, and as the receiver does. */
function ed25519(): { secret: string; key: SignatureKey } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { d = '' } = privateKey.export({ format: 'jwk' });
  return {
    secret: `whsk_${Buffer.from(d, 'base64url').toString('base64')}`,
    key: { version: 'v1a', key: publicKey },
  };
}

function publicHalf(seed: Buffer): Buffer {
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const { x = '' } = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })).export({
    format: 'jwk',
  });
  return Buffer.from(x, 'base64url');
}

function fail(): never {
  throw new Error('the receiver got no request');
}
