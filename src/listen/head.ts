import { fieldCount } from '../fields.ts';
import { METHODS } from '../settings.ts';
import type { Refusal, RequestHead } from '../types.ts';
import { fieldName } from './field-name.ts';

/** The most a head may take, and the most fields it may hold; RFC 9110 section 5.4 leaves it to us. */
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

/** RFC 9112 sections 2.3 and 3: one space each, and only the version that this listener speaks. */
const REQUEST_LINE = /^([A-Z]+) ([^ \r\n]+) HTTP\/1\.1$/;
/** RFC 9110 section 9.1 would have 501 for another; what is no request we know is malformed here. */
const KNOWN_METHODS = new Set<string>([...METHODS, 'CONNECT', 'TRACE']);

/**
 * A token (RFC 9110 section 5.6.2), a colon at once (RFC 9112 section 5.1), a value without control characters (RFC
 * 9110 section 5.5), CRLF and nothing less (RFC 9112 section 2.2); no line folding (section 5.2). No two parts can
 * match the same character, so the cost is linear whatever the input is.
 */
const FIELDS = /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*$/;

/**
 * RFC 9110 section 7.2, without user information (4.2.4); nothing a proxy and a server could read as two names. No label
 * is empty but the root's: whoever cuts off every final dot would find the host of a stricter route.
 */
const HOST = /^([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

/**
 * RFC 9110 section 7.6.1: any other option would name a field to be removed, and nobody but the gateway says what is
 * removed. Empty elements of a list are passed over (5.6.1.2).
 */
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
      // RFC 9110 section 4.2.3; the final dot of a fully qualified name is the same name to a resolver.
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
 * What the record tells of a target that is refused: not its query or fragment, which may hold a token, and no user
 * information, which may hold a password (RFC 9110 section 4.2.4).
 */
export function recordablePath({ path, query }: RequestHead): string {
  const target = path + query;
  const hasAuthority = !/^\/(?!\/)/.test(target);
  return target.slice(hasAuthority ? target.lastIndexOf('@') + 1 : 0).replace(/[?#].*$/s, '');
}

/**
 * Whether the beginning of a head can no longer become one that is let in: then there is no reason to wait for its
 * end. A bare line feed is what one parser takes for the end of a line and another for part of a value (RFC 9112
 * section 2.2).
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
 * a decoding server would take for a delimiter, a dot or a control character (RFC 3986 sections 2.1, 3.3 and 6.2.2).
 */
const AMBIGUOUS_PATH =
  /\/\/|\/\.{1,2}(?:[/;]|$)|\/;|\/\.{1,2}%3b|\/%3b|%(?:2[ef]|5c|[01][0-9a-f]|7f)|%(?![0-9a-f]{2})/i;

/**
 * RFC 9112 section 3.2.1: only the origin form. The absolute form is refused on purpose, against 3.2.2: it names a
 * second host. A fragment is never part of a target (RFC 9110 section 7.1).
 */
function isAmbiguous(target: string, question: number): boolean {
  if (!target.startsWith('/') || /[^\x21-\x7e]|[\\#]/.test(target)) return true;
  return AMBIGUOUS_PATH.test(question < 0 ? target : target.slice(0, question));
}

function malformed(detail: string): Refusal {
  return { reason: 'request.malformed', detail };
}

function splitFields(block: string): string[] | Refusal {
  const headers: string[] = [];
  let count = 0;
  for (let start = 0; start < block.length; ) {
    count += 1;
    if (count > MOST_FIELDS) return malformed('too many fields');
    const end = block.indexOf('\r\n', start);
    const colon = block.indexOf(':', start);
    const { name, single, dropped } = fieldName(block.slice(start, colon));
    // Some parsers know no coding with a tab behind it, and would look for the body's end elsewhere.
    if (name === 'transfer-encoding' && block.slice(colon, end).includes('\t'))
      return malformed('Transfer-Encoding');
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

/**
 * A body has a length or is chunked, never both (RFC 9112 sections 6.1 and 6.3; digits: RFC 9110 section 8.6); neither
 * is no body. An expectation is the known one (RFC 9110 section 10.1.1). Every doubt is the end of the connection.
 */
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
