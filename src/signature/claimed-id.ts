import { fieldValue } from '../fields.ts';
import type { SignatureRule } from '../signature-settings.ts';
import type { Message } from '../types.ts';
import { eventIdReader } from './event-id.ts';
import { FAMILIES } from './header-names.ts';
import { presentedReader } from './presented.ts';

/**
 * Compiles the reader of the id that a message has if its signature holds, from one whose signature is well-formed and
 * does not: good to find it by, and for nothing else.
 */
export function claimedIdReader(rule: SignatureRule): (message: Message) => string | undefined {
  switch (rule.scheme) {
    case 'standard-webhooks':
      return ({ headers }) =>
        FAMILIES.map((family) => fieldValue(headers, `${family}-id`)).find((id) => id !== undefined);
    case 'token':
      return ({ headers }) => (rule.id === undefined ? undefined : fieldValue(headers, rule.id));
    default: {
      const read = presentedReader(rule);
      const identify = eventIdReader(rule);
      return (message) => {
        const presented = read(message.headers);
        return 'reason' in presented ? undefined : identify(message, presented);
      };
    }
  }
}
