import { STATUS_CODES } from 'node:http';
import { fieldValue } from '../fields.ts';
import type { Reply } from '../types.ts';

/** How the end of an answer is found; `given`: by its status, its request's method or the length it came with. */
export type AnswerFraming = 'length' | 'chunked' | 'given';

/** How an answer is framed. HEAD, 204 and 304 have no body (RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5). */
export function framingOf(reply: Reply, method: string): AnswerFraming {
  if (method === 'HEAD' || reply.status === 204 || reply.status === 304) return 'given';
  if (reply.body === undefined || Buffer.isBuffer(reply.body)) return 'length';
  return fieldValue(reply.headers, 'content-length') === undefined ? 'chunked' : 'given';
}

/** The head of an answer, as latin1 text. */
export function encodeHead(reply: Reply, framing: AnswerFraming, close: boolean): string {
  let text = `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ''}\r\n`;
  const { headers } = reply;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  if (fieldValue(headers, 'date') === undefined) text += `date: ${httpDate()}\r\n`;
  if (framing === 'length')
    text += `content-length: ${Buffer.isBuffer(reply.body) ? reply.body.length : 0}\r\n`;
  else if (framing === 'chunked') text += 'transfer-encoding: chunked\r\n';
  return `${text}${close ? 'connection: close\r\n' : ''}\r\n`;
}

/** A small answer in one piece: two writes would become two TLS records and two system calls. */
export function encodeWhole(
  reply: Reply & { body: Buffer | undefined },
  framing: AnswerFraming,
  close: boolean,
): Buffer {
  const head = encodeHead(reply, framing, close);
  const body = framing === 'length' ? reply.body : undefined;
  const bytes = Buffer.allocUnsafe(head.length + (body?.length ?? 0));
  bytes.write(head, 'latin1');
  body?.copy(bytes, head.length);
  return bytes;
}

/** One chunk with its size line (RFC 9112 section 7.1). */
export function encodeChunk(content: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${content.length.toString(16)}\r\n`), content, CRLF]);
}

export const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const CRLF = Buffer.from('\r\n');

let dateSecond = 0;
let dateText = '';

/** The Date field changes once a second. */
function httpDate(): string {
  const nowMs = Date.now();
  const second = Math.floor(nowMs / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(nowMs).toUTCString();
  }
  return dateText;
}
