import type { SignatureSettings } from '../settings.ts';
import { hmac } from '../signature/hmac.ts';
import { publicKey } from '../signature/public-key.ts';
import { standardWebhooks } from '../signature/standard-webhooks.ts';
import { token } from '../signature/token.ts';
import type { Check, Message, Verdict } from '../types.ts';

/** Lets in messages whose signature holds, and says under which id and by which secret. */
export function signatureCheck(rule: SignatureSettings): Check<Message> {
  // A token proves nothing of the message: nobody may be told that a signature was checked.
  return { name: rule.scheme === 'token' ? 'token' : 'signature', examine: schemeOf(rule) };
}

/** One line a scheme. */
function schemeOf(rule: SignatureSettings): (message: Message) => Verdict {
  switch (rule.scheme) {
    case 'standard-webhooks':
      return standardWebhooks(rule);
    case 'hmac':
      return hmac(rule);
    case 'public-key':
      return publicKey(rule);
    case 'token':
      return token(rule);
  }
}
