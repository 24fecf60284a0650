import type { RouteSettings } from '../settings.ts';
import { standardWebhooks } from '../signature/standard-webhooks.ts';
import type { Check, Message } from '../types.ts';

/** One line a scheme. */
const SCHEMES = { 'standard-webhooks': standardWebhooks };

/** Lets in messages whose signature holds, and says under which id and by which secret. */
export function signatureCheck(rule: NonNullable<RouteSettings['signature']>): Check<Message> {
  return { name: 'signature', examine: SCHEMES[rule.scheme](rule) };
}
