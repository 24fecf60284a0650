import { createPrivateKey, createPublicKey, sign as signBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { SignatureKey } from '../src/signature-settings.ts';
import { type SignedEvent, v1, verdictOf } from './support/verifier.ts';

/**
 * The specification's text prints signatures but not the secrets behind them, so its vectors are those of its
 * reference libraries: `v1` from all of them, `v1a` from the Go one.
 *
 * The `v1` vector is also the one that Codat's documentation prints (../shared/codat/consumer-docs.txt). Of 17 spellings
 * of the JSON (compact, indented, other quotes, other numbers), each with and without a byte order mark, surrounding
 * white space or a final newline, and of five readings of the secret, its signature holds for one alone: the payload
 * exactly as printed, with the space, and the secret decoded as base64 after `whsec_`.
 */
describe('published vectors', () => {
  const epochMs = 1_614_265_330_000;
  const event: SignedEvent = {
    family: 'webhook',
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestamp: '1614265330',
    signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    body: '{"test": 2432232314}',
  };
  const keys = [v1('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')];

  test('v1, as Codat prints it, holds for the printed bytes', () => {
    expect(verdictOf(event, keys, epochMs)).toEqual({ secret: 0, messageId: event.id });
    expect(verdictOf(event, keys).reason).toBe('signature.stale');
  });

  test.each([
    '{"test":2432232314}',
    '{"test": 2432232314}\n',
    ' {"test": 2432232314}',
    '{\n  "test": 2432232314\n}',
    '\ufeff{"test": 2432232314}',
    '{"test": 2432232314.0}',
    '',
  ])('and for no other: %j', (body) => {
    expect(verdictOf({ ...event, body }, keys, epochMs).reason).toBe('signature.mismatch');
  });

  test('v1a, of the Go library', () => {
    const pkcs8 = Buffer.concat([
      Buffer.from('302e020100300506032b657004220420', 'hex'),
      Buffer.from('VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=', 'base64'),
    ]);
    const key = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
    const signature =
      'v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==';
    const asymmetric: SignatureKey = { version: 'v1a', key };
    expect(verdictOf({ ...event, signature }, [...keys, asymmetric], epochMs)).toEqual({
      secret: 1,
      messageId: event.id,
    });
    const both = `${event.signature} ${signature}`;
    expect(verdictOf({ ...event, signature: both }, [asymmetric], epochMs)).toEqual({
      secret: 0,
      messageId: event.id,
    });
    expect(verdictOf({ ...event, signature, body: '{}' }, [asymmetric], epochMs).reason).toBe(
      'signature.mismatch',
    );
    const wrong = signBytes(
      null,
      Buffer.from('else'),
      createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }),
    );
    expect(
      verdictOf({ ...event, signature: `v1a,${wrong.toString('base64')}` }, [asymmetric], epochMs).reason,
    ).toBe('signature.mismatch');
  });
});
