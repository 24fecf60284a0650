import { parseMessage, valueAt } from '../message.ts';
import type { DeclaredRule, SignatureKey } from '../signature-settings.ts';
import type { Message, Refusal, Verdict } from '../types.ts';
import { type Content, contentMaker } from './content.ts';
import { eventIdReader } from './event-id.ts';
import { signatureMismatch } from './mismatch.ts';
import { malformed, presentedReader } from './presented.ts';

/** Whether one of the signatures is the key's over this content; a refusal: one of them is none at all. */
export type Holds = (key: SignatureKey, content: Content, signatures: readonly string[]) => boolean | Refusal;

/** The way of a message through a declared scheme, whatever its mathematics: read, in time, held by a key, named. */
export function declared(
  rule: DeclaredRule,
  keys: readonly SignatureKey[],
  holds: Holds,
): (message: Message) => Verdict {
  const read = presentedReader(rule);
  const make = contentMaker(rule);
  const identify = eventIdReader(rule);
  const { timestamp: time, toleranceMs } = rule;
  const bodyTime = time !== undefined && 'body' in time ? time : undefined;

  return (message) => {
    const presented = read(message.headers);
    if ('reason' in presented) return presented;
    if (presented.timestamp !== undefined && time !== undefined) {
      const late = outOfTime(message.epochMs - Number(presented.timestamp) * time.unitMs, toleranceMs);
      if (late !== undefined) return late;
    }
    const content = make(message, presented);
    if ('reason' in content) return content;
    let secret = -1;
    for (let place = 0; place < keys.length && secret < 0; place += 1) {
      const held = holds(keys[place] as SignatureKey, content, presented.signatures);
      if (typeof held !== 'boolean') return held;
      if (held) secret = place;
    }
    if (secret < 0) return signatureMismatch(keys);
    // Only now does what the body says count.
    if (bodyTime !== undefined) {
      const signedAt = valueAt(parseMessage(message.body), bodyTime.body);
      if (!Number.isSafeInteger(signedAt)) return malformed(`no time at ${bodyTime.body.join('.')}`);
      const late = outOfTime(message.epochMs - Number(signedAt) * bodyTime.unitMs, toleranceMs);
      if (late !== undefined) return late;
    }
    const messageId = identify(message, presented);
    return messageId === undefined ? { secret } : { secret, messageId };
  };
}

function outOfTime(skewMs: number, toleranceMs: number): Refusal | undefined {
  if (skewMs > toleranceMs)
    return { reason: 'signature.stale', detail: `${Math.round(skewMs / 1000)} s old` };
  if (skewMs < -toleranceMs)
    return { reason: 'signature.early', detail: `${Math.round(-skewMs / 1000)} s ahead` };
  return undefined;
}
