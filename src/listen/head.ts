import { fieldCount } from '../fields.ts';
import { METHODS } from '../settings.ts';
import type { Refusal, RequestHead } from '../types.ts';

/** The most a head may take, and the most fields it may hold. */
export const MOST_HEAD_BYTES = 16 * 1024;
const MOST_FIELDS = 100;

/** A head that has one reading only. */
export interface ParsedHead {
  readonly request: RequestHead;
  readonly expectsContinue: boolean;
  readonly wantsClose: boolean;
  /** The framing is sound, but the target is not: the request is refused and the connection may stay. */
  readonly refusal: Refusal | undefined;
}

/** RFC 9112 section 3: one space each, and only the version that this listener speaks. */
const REQUEST_LINE = /^([A-Z]+) ([^ \r\n]+) HTTP\/1\.1$/;
const KNOWN_METHODS = new Set<string>([...METHODS, 'CONNECT', 'TRACE']);

/**
 * RFC 9112 section 5 and RFC 9110 sections 5.1 and 5.5: a token, a colon at once, a value without control characters;
 * no line folding. No two parts can match the same character, so the cost is linear whatever the input is.
 */
const FIELDS = /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*$/;

/** RFC 9110 section 7.2, without user information; nothing a proxy and a server could read as two names. */
const HOST = /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

/** Fields of which a second one would contradict the first; Authorization has a refusal of its own. */
const SINGLE = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'content-range',
  'expect',
  'upgrade',
  'user-agent',
  'referer',
  'from',
  'date',
  'max-forwards',
  'proxy-authorization',
  'if-modified-since',
  'if-unmodified-since',
]);

interface FieldName {
  readonly name: string;
  readonly single: boolean;
  readonly dropped: boolean;
}

/**
 * What senders send, as they spell it: the name that goes on is then always the same string, and comparing it costs
 * no look at its characters.
 */
const FREQUENT = new Map<string, FieldName>();
for (const name of [
  ...SINGLE,
  'accept',
  'accept-encoding',
  'authorization',
  'connection',
  'content-type',
  'svix-id',
  'svix-signature',
  'svix-timestamp',
  'traceparent',
  'webhook-id',
  'webhook-signature',
  'webhook-timestamp',
]) {
  const known = describe(name);
  FREQUENT.set(name, known);
  FREQUENT.set(
    name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase()),
    known,
  );
}

function fieldName(spelled: string): FieldName {
  const known = FREQUENT.get(spelled);
  if (known !== undefined) return known;
  const name = spelled.toLowerCase();
  return FREQUENT.get(name) ?? describe(name);
}

function describe(name: string): FieldName {
  return { name, single: SINGLE.has(name), dropped: name.includes('_') || name.includes('.') };
}

/** Any other option would name a field to be removed: nobody but the gateway says what is removed. */
const CONNECTION_OPTIONS = new Set(['', 'close', 'keep-alive', 'te', 'upgrade']);

/**
 * Reads a whole head: strictly, once, and before any of it is used. What two parsers could read differently is
 * refused; there is no lenient mode.
 * @param text the head up to and including the CRLF of its last line, as latin1
 */
export function parseHead(text: string): ParsedHead | Refusal {
  const lineEnd = text.indexOf('\r\n');
  const [, method, target] = REQUEST_LINE.exec(text.slice(0, lineEnd)) ?? [];
  if (method === undefined || target === undefined || !KNOWN_METHODS.has(method))
    return malformed('request line');
  const block = text.slice(lineEnd + 2);
  if (!FIELDS.test(block)) return malformed('header field');
  const headers = splitFields(block);
  if (!Array.isArray(headers)) return headers;
  const framing = readFraming(headers);
  if ('reason' in framing) return framing;
  const [, host] = HOST.exec(framing.authority) ?? [];
  if (host === undefined) return malformed('Host');
  const question = target.indexOf('?');
  const { authority, contentLength, expectsContinue, wantsClose } = framing;
  return {
    request: {
      method,
      path: question < 0 ? target : target.slice(0, question),
      query: question < 0 ? '' : target.slice(question),
      authority,
      host: host.toLowerCase().replace(/\.$/, ''),
      headers,
      contentLength,
    },
    expectsContinue,
    // After CONNECT other parsers no longer read HTTP (RFC 9110 section 9.3.6).
    wantsClose: wantsClose || method === 'CONNECT',
    refusal: isAmbiguous(target, question) ? AMBIGUOUS : undefined,
  };
}

/**
 * Whether the beginning of a head can no longer become one that is let in: then there is no reason to wait for its
 * end. A bare line feed is what one parser takes for the end of a line and another for part of a value.
 * @param seen how many characters were there, and not hopeless, at the last call
 */
export function isHopeless(text: string, seen: number): boolean {
  // A byte at a time, each is looked at once: the whole would be looked at 16,000 times.
  BARE_BREAK.lastIndex = Math.max(0, seen - 2);
  if (BARE_BREAK.test(text)) return true;
  const lineEnd = text.indexOf('\r\n');
  return lineEnd >= seen - 1 && lineEnd >= 0 && !REQUEST_LINE.test(text.slice(0, lineEnd));
}

const BARE_BREAK = /(?<!\r)\n|\r[^\n]/g;

const AMBIGUOUS: Refusal = Object.freeze({ reason: 'target.ambiguous' });

/**
 * Empty and dot segments, also those that become so where parameters (`/..;x/`) are cut off; encoded characters that
 * a decoding server would take for a delimiter, a dot or a control character.
 */
const AMBIGUOUS_PATH =
  /\/\/|\/\.{1,2}(?:[/;]|$)|\/;|\/\.{1,2}%3b|\/%3b|%(?:2[ef]|5c|[01][0-9a-f]|7f)|%(?![0-9a-f]{2})/i;

/** RFC 9112 section 3.2.1: only the origin form; a fragment is never part of a target. */
function isAmbiguous(target: string, question: number): boolean {
  if (!target.startsWith('/') || /[^\x21-\x7e]|[\\#]/.test(target)) return true;
  return AMBIGUOUS_PATH.test(question < 0 ? target : target.slice(0, question));
}

function malformed(detail: string): Refusal {
  return { reason: 'request.malformed', detail };
}

/** Names in lower case; fields with `_` or `.` in their names are dropped: some servers read them as `-`. */
function splitFields(block: string): string[] | Refusal {
  const headers: string[] = [];
  let count = 0;
  for (let start = 0; start < block.length; ) {
    count += 1;
    if (count > MOST_FIELDS) return malformed('too many fields');
    const end = block.indexOf('\r\n', start);
    const colon = block.indexOf(':', start);
    const { name, single, dropped } = fieldName(block.slice(start, colon));
    if (single && fieldCount(headers, name) > 0) return malformed(`${name} repeated`);
    if (!dropped) headers.push(name, trim(block, colon + 1, end));
    start = end + 2;
  }
  return headers;
}

/** Optional white space around a value is space and tab only (RFC 9110 section 5.6.3). */
function trim(text: string, start: number, end: number): string {
  while (start < end && isBlank(text.charCodeAt(start))) start += 1;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

type Framing = Pick<RequestHead, 'authority' | 'contentLength'> &
  Pick<ParsedHead, 'expectsContinue' | 'wantsClose'>;

/** RFC 9112 section 6: a body has a length or is chunked, never both; every doubt is the end of the connection. */
function readFraming(headers: readonly string[]): Framing | Refusal {
  let authority: string | undefined;
  let length: string | undefined;
  let coding: string | undefined;
  let expect: string | undefined;
  let wantsClose = false;
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] as string;
    switch (headers[i]) {
      case 'host':
        authority = value;
        break;
      case 'content-length':
        length = value;
        break;
      case 'transfer-encoding':
        coding = value;
        break;
      case 'expect':
        expect = value;
        break;
      case 'connection': {
        const options = value.split(',').map((option) => trim(option, 0, option.length).toLowerCase());
        if (!options.every((option) => CONNECTION_OPTIONS.has(option))) return malformed('Connection');
        wantsClose ||= options.includes('close');
        break;
      }
    }
  }
  if (authority === undefined) return malformed('no Host');
  if (length !== undefined && (coding !== undefined || !/^\d{1,15}$/.test(length)))
    return malformed('Content-Length');
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return malformed('Transfer-Encoding');
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') return malformed('Expect');
  const contentLength = coding === undefined ? Number(length ?? 0) : undefined;
  return {
    authority,
    contentLength,
    expectsContinue: expect !== undefined && contentLength !== 0,
    wantsClose,
  };
}
