import { createHash, hash } from 'node:crypto';
import { earlyMember, parseMessage, valueAt } from '../message.ts';
import type { ContentPiece, DeclaredRule } from '../signature-settings.ts';
import type { Message } from '../types.ts';
import { contentMaker, type Signed } from './content.ts';

/** What a claim's key can carry, and a log. */
const ID = /^[\x21-\x7e]{1,256}$/;
/** Larger bodies are known by their digest: parsing them would keep everybody else waiting. */
const PARSED_BYTES = 1024 * 1024;
const EARLY_BYTES = 512;

/**
 * Compiles the reader of the id by which an event is known when it comes again, from a message whose signature holds.
 * `undefined`: nothing tells a copy of it from a new one.
 */
export function eventIdReader(
  rule: Pick<DeclaredRule, 'id' | 'content' | 'origin' | 'bodyHash'>,
): (message: Message, signed: Signed) => string | undefined {
  const { id } = rule;
  if (id.from === 'none') return () => undefined;
  if (id.from === 'header') return (_message, signed) => signed.id;
  const digest = digestMaker(rule);
  if (id.from === 'content') return digest;
  const find = memberFinder(id.path);
  return (message, signed) => {
    const found = message.body.length > PARSED_BYTES ? undefined : find(message.body);
    return found !== undefined && ID.test(found) ? found : digest(message, signed);
  };
}

/** Most senders begin their messages with the id: then the rest need not be parsed. */
function memberFinder(path: readonly string[]): (body: Buffer) => string | undefined {
  const [key, ...rest] = path;
  const early = key !== undefined && rest.length === 0 ? earlyMember(key) : undefined;
  return (body) => {
    const found = early?.exec(body.toString('latin1', 0, EARLY_BYTES))?.[1];
    if (found !== undefined) return found;
    const value = valueAt(parseMessage(body), path);
    return typeof value === 'string' ? value : undefined;
  };
}

/**
 * The digest of what is signed, less the time of signing: a retry is signed anew, and is the same event. An empty body
 * with nothing else that is signed has no digest, since all such messages are alike, and none of them may swallow another.
 */
function digestMaker(
  rule: Pick<DeclaredRule, 'content' | 'origin' | 'bodyHash'>,
): (message: Message, signed: Signed) => string | undefined {
  const content = rule.content.filter((piece) => !isTimestamp(piece));
  if (content.every((piece) => 'text' in piece || piece.place === 'body'))
    return ({ body }) => (body.length === 0 ? undefined : `sha256:${hash('sha256', body)}`);
  const make = contentMaker({ ...rule, content });
  return (message, signed) => {
    const made = make(message, signed);
    if ('reason' in made) return undefined;
    const { before, middle, after } = made;
    return `sha256:${createHash('sha256').update(before).update(middle).update(after).digest('hex')}`;
  };
}

function isTimestamp(piece: ContentPiece): boolean {
  return 'place' in piece && piece.place === 'timestamp';
}
