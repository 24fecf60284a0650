import { signatureCheck } from '../../src/check/signature.ts';
import { loadSender } from '../../src/config/senders.ts';
import { readKey } from '../../src/config/signature-keys.ts';
import type { SignatureKey, SignatureRule } from '../../src/signature-settings.ts';
import type { Message, Verdict } from '../../src/types.ts';

/** A request as its sender made it. */
export interface Sent {
  readonly method?: string;
  /** Without its https://. */
  readonly url?: string;
  /** Names in lower case. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string | Buffer;
}

/** The rule of a profile that comes with Postern. */
export function ruleOf(sender: string): SignatureRule {
  const rule = loadSender(sender, 'config').signature;
  if (rule === undefined) throw new Error(`${sender} does not sign`);
  return rule;
}

/** The keys of a rule, read as the configuration reads them. */
export function keysOf(rule: SignatureRule, secrets: readonly string[]): SignatureKey[] {
  return secrets.map((text) => {
    const key = readKey(rule, text);
    if ('wrong' in key) throw new Error(key.wrong);
    return key;
  });
}

/** What the gateway's check says of one request. @param epochMs the gateway's clock */
export function verdictOf(
  rule: SignatureRule,
  secrets: readonly string[],
  sent: Sent,
  epochMs = Date.now(),
): Verdict {
  const verdict = signatureCheck({ ...rule, keys: keysOf(rule, secrets) }).examine(messageOf(sent, epochMs));
  if (verdict instanceof Promise) throw new Error('a signature is verified at once');
  return verdict;
}

/** A message as the listener hands it on. */
export function messageOf(sent: Sent, epochMs: number): Message {
  const [, authority = '', path = '/', query = ''] =
    /^([^/]*)([^?]*)(.*)$/.exec(sent.url ?? 'a.example/') ?? [];
  return {
    id: 'a-request',
    peer: {
      address: '127.0.0.1',
      addressValue: 0x7f000001,
      certificate: undefined,
      host: '',
      certificateError: undefined,
    },
    startedMs: 0,
    epochMs,
    method: sent.method ?? 'POST',
    path,
    query,
    authority,
    host: authority.toLowerCase(),
    headers: sent.headers.flat(),
    contentLength: undefined,
    body: Buffer.from(sent.body),
  };
}
