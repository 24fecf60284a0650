import { ChunkedFraming, LengthFraming } from '../../src/listen/framing.ts';
import { Inbox } from '../../src/listen/inbox.ts';

/** What a parser made of one request. */
export interface Reading {
  readonly method: string;
  readonly target: string;
  /** Name, value, name, value …; names in lower case. */
  readonly fields: readonly string[];
  /** As latin1 text. */
  readonly body: string;
}

/** One request with the bytes it takes: `end` is where the next one begins. */
export interface Item {
  readonly start: number;
  readonly end: number;
  readonly reading: Reading;
  /** `target.ambiguous`: refused, but read to its end, since the connection may stay. */
  readonly refused: boolean;
}

/** What the front makes of the bytes of one connection. */
export interface FrontReading {
  readonly items: readonly Item[];
  /** `open`: it waits for a next request; `closed`: it takes no further one; or why it takes none. */
  readonly ending: 'open' | 'closed' | 'incomplete head' | 'incomplete body' | `refused ${string}`;
}

/** Reads as the front does: the same inbox, head grammar and framing, without a socket. */
export function readByFront(bytes: Buffer): FrontReading {
  const inbox = new Inbox();
  inbox.add(bytes);
  const items: Item[] = [];
  while (inbox.size > 0) {
    const start = bytes.length - inbox.size;
    const parsed = inbox.takeHead();
    if (parsed === undefined) return { items, ending: 'incomplete head' };
    if ('reason' in parsed) return { items, ending: `refused ${parsed.reason}: ${parsed.detail}` };
    const { method, path, query, headers, contentLength } = parsed.request;
    const framing = contentLength === undefined ? new ChunkedFraming() : new LengthFraming(contentLength);
    const parts: Buffer[] = [];
    let used = 0;
    inbox.take((rest) => {
      used = framing.push(rest, (content) => parts.push(content) > 0);
      return Math.max(used, 0);
    });
    if (used < 0)
      return { items, ending: `refused ${parsed.refusal?.reason ?? 'request.malformed'}: chunked body` };
    if (!framing.done) return { items, ending: 'incomplete body' };
    items.push({
      start,
      end: bytes.length - inbox.size,
      reading: {
        method,
        target: path + query,
        fields: headers,
        body: Buffer.concat(parts).toString('latin1'),
      },
      refused: parsed.refusal !== undefined,
    });
    if (parsed.wantsClose) return { items, ending: 'closed' };
  }
  return { items, ending: 'open' };
}

/** In one line, for people: `POST /a 4 B, refused request.malformed: Host`. */
export function describeReading({ items, ending }: FrontReading): string {
  const each = items.map(({ reading: { method, target, body }, refused }) => {
    const shown = target.length > 40 ? `${target.slice(0, 37)}...` : target;
    const visible = JSON.stringify(shown)
      .slice(1, -1)
      .replace(/[\x7f-\xff]/g, escapeByte);
    return `${refused ? 'refused target.ambiguous' : 'accepted'} ${method} ${visible} ${body.length} B`;
  });
  return [...each, ending].join(', ');
}

const escapeByte = (text: string): string => `\\x${text.charCodeAt(0).toString(16)}`;
