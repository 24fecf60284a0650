import { hash } from 'node:crypto';
import { fieldValue } from '../fields.ts';
import type { ContentPiece, DeclaredRule } from '../signature-settings.ts';
import type { Message, Refusal } from '../types.ts';
import { isForm, sortedFields } from './form.ts';
import { malformed } from './presented.ts';

/** What was signed: the body or the form, with what stands before and behind it. */
export interface Content {
  readonly before: string;
  readonly middle: Buffer | string;
  readonly after: string;
}

/** What signed content can be made of besides the message itself. */
export interface Signed {
  readonly timestamp: string | undefined;
  readonly id: string | undefined;
}

type Facts = Pick<Message, 'method' | 'path' | 'query' | 'authority' | 'headers' | 'body'>;

/** Compiles the maker of the content that a rule says is signed. It holds the body's bytes, never a reading of them. */
export function contentMaker(
  rule: Pick<DeclaredRule, 'content' | 'origin' | 'bodyHash'>,
): (message: Facts, signed: Signed) => Content | Refusal {
  const { content, origin, bodyHash } = rule;
  const middle = content.findIndex((piece) => 'place' in piece && COVERS_BODY.has(piece.place));
  const before = textMaker(content.slice(0, middle), origin);
  const after = textMaker(content.slice(middle + 1), origin);
  const piece = content[middle];
  if (piece !== undefined && 'place' in piece && piece.place === 'form') {
    return (message, signed) => {
      const form = signedForm(message, bodyHash);
      if (typeof form !== 'string') return form;
      return { before: before(message, signed), middle: form, after: after(message, signed) };
    };
  }
  return (message, signed) => ({
    before: before(message, signed),
    middle: message.body,
    after: after(message, signed),
  });
}

const COVERS_BODY: ReadonlySet<string> = new Set(['body', 'form']);

type TextMaker = (message: Facts, signed: Signed) => string;

function textMaker(pieces: readonly ContentPiece[], origin: string | undefined): TextMaker {
  const [first, ...rest] = pieces;
  if (first === undefined) return () => '';
  const make = pieceMaker(first, origin);
  if (rest.length === 0) return make;
  const others = textMaker(rest, origin);
  return (message, signed) => make(message, signed) + others(message, signed);
}

function pieceMaker(piece: ContentPiece, origin: string | undefined): TextMaker {
  if ('text' in piece) return () => piece.text;
  switch (piece.place) {
    case 'timestamp':
      return (_message, { timestamp }) => timestamp as string;
    case 'id':
      return (_message, { id }) => id as string;
    case 'method':
      return ({ method }) => method;
    default:
      return ({ authority, path, query }) => (origin ?? `https://${authority}`) + path + query;
  }
}

/**
 * A body that is no form is signed by its hash in the URL. Where that is given it is what counts, whatever the body and
 * its type: otherwise somebody could take the body away, or call it a form, and the signature of the URL would still hold.
 */
function signedForm({ headers, query, body }: Facts, bodyHash: string | undefined): string | Refusal {
  const hashes = bodyHash === undefined ? [] : parameters(query, bodyHash);
  if (hashes.length > 1) return malformed(`${bodyHash} twice`);
  const [expected] = hashes;
  if (expected !== undefined) {
    if (expected.toLowerCase() === hash('sha256', body)) return '';
    return { reason: 'signature.mismatch', detail: `the body is not the one of ${bodyHash}` };
  }
  if (body.length === 0) return '';
  if (!isForm(fieldValue(headers, 'content-type')))
    return malformed('neither a form nor a body whose hash is signed');
  return sortedFields(body) ?? malformed('form');
}

function parameters(query: string, name: string): string[] {
  const start = `${name}=`;
  return query
    .slice(1)
    .split('&')
    .flatMap((pair) => (pair.startsWith(start) ? [pair.slice(start.length)] : []));
}
