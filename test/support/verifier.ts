import { createSecretKey } from 'node:crypto';
import { standardWebhooks } from '../../src/signature/standard-webhooks.ts';
import type { SignatureKey } from '../../src/signature-settings.ts';
import type { Verdict } from '../../src/types.ts';
import { messageOf } from './schemes.ts';

/** The verifier's tolerance in these tests: that of svix. */
export const TOLERANCE_S = 300;

/** What is signed, and the signature. */
export interface SignedEvent {
  readonly family: 'webhook' | 'svix';
  readonly id: string;
  readonly timestamp: string;
  readonly signature: string;
  readonly body: string;
}

/** A `whsec_` secret as a key. */
export const v1 = (secret: string): SignatureKey => ({
  version: 'v1',
  key: createSecretKey(Buffer.from(secret.replace('whsec_', ''), 'base64')),
});

/** The gateway's own verifier, asked about one event. */
export function verdictOf(event: SignedEvent, keys: readonly SignatureKey[], epochMs = Date.now()): Verdict {
  const headers = (['id', 'timestamp', 'signature'] as const).map(
    (name) => [`${event.family}-${name}`, event[name]] as const,
  );
  const message = messageOf({ headers, body: event.body }, epochMs);
  return standardWebhooks({ keys, toleranceMs: TOLERANCE_S * 1000 })(message);
}
