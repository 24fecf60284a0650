import { isSecret, secretOf } from '../compare.ts';
import type { SignatureSettings } from '../settings.ts';
import type { TokenRule } from '../signature-settings.ts';
import type { Message, Verdict } from '../types.ts';
import { signatureMismatch } from './mismatch.ts';

const ID = /^[\x21-\x7e]{1,256}$/;

/**
 * Lets in messages of which one header equals a secret. It says who sent, and nothing of what: whoever sees one such
 * message can send any other. So an event is known by the id that its header gives, if any, and never by its body,
 * which may be the same for two events.
 */
export function token(rule: TokenRule & SignatureSettings): (message: Message) => Verdict {
  const { header, id: idHeader } = rule;
  const secrets = rule.keys.map(({ key }) => secretOf(key.export().toString()));
  return ({ headers }) => {
    let value: string | undefined;
    let id: string | undefined;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i];
      if (name === header) {
        if (value !== undefined) return { reason: 'signature.repeated', detail: header };
        value = headers[i + 1];
      } else if (name === idHeader) {
        if (id !== undefined) return { reason: 'signature.repeated', detail: name as string };
        id = headers[i + 1];
      }
    }
    if (value === undefined) return { reason: 'signature.missing', detail: `no ${header}` };
    if (id !== undefined && !ID.test(id)) return { reason: 'signature.malformed', detail: 'id' };
    const presented = Buffer.from(value, 'latin1');
    const secret = secrets.findIndex((one) => isSecret(one, presented));
    if (secret < 0) return signatureMismatch(secrets);
    return id === undefined ? { secret } : { secret, messageId: id };
  };
}
