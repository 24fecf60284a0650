import { z } from 'zod';
import { MOST_HEAD_BYTES, parseHead } from '../../listen/head.ts';
import { readTime } from '../events/time.ts';
import { visible } from '../events/visible.ts';
import { CliError } from '../exit.ts';
import type { Capture, GivenCertificate } from './capture.ts';
import { lengthChecked } from './capture-raw.ts';

const time = z.union([z.string(), z.number()]);
const certificateSchema = z.union([
  z.string(),
  z.literal(false),
  z.null(),
  z.object({
    pem: z.string().optional(),
    subject: z.string().optional(),
    names: z.array(z.string()).optional(),
    fingerprint: z.string().optional(),
    public_key: z.string().optional(),
    not_after: time.optional(),
  }),
]);
const captureSchema = z.object({
  method: z.string().default('POST'),
  path: z.string().optional(),
  url: z.string().optional(),
  headers: z.union([
    z.array(z.tuple([z.string(), z.string()])),
    z.record(z.string(), z.union([z.string(), z.array(z.string())])),
  ]),
  body: z.string().optional(),
  body_base64: z.string().optional(),
  peer: z.object({ address: z.string().optional(), certificate: certificateSchema.optional() }).optional(),
  time: time.optional(),
});
type Given = z.infer<typeof captureSchema>;

const SHAPE =
  '{"method", "path", "headers": [["name", "value"]], "body" or "body_base64", "peer": {"address", "certificate"}, "time"}';
const MOST_FAULTS = 5;
/** A head has a hundred fields; millions of small values would take the memory of many times their text. */
const MOST_VALUES = 10_000;
const [QUOTE, BACKSLASH, COMMA, BRACKET, BRACE] = [...'"\\,[{'].map((character) => character.charCodeAt(0));

/**
 * Reads a request written as JSON.
 * @throws CliError, exit code 2, that says what is wrong where; never with a value: it may be a secret
 */
export function readJson(bytes: Buffer, file: string): Capture {
  const given = captureOf(bytes, file);
  const notes: string[] = [];
  const body = bodyOf(given, file, notes);
  const [authority, target] = targetOf(given, file);
  const fields = fieldsOf(given.headers);
  const named = fields.find(([name]) => name === ':authority')?.[1] ?? authority;
  const lines = fields.filter(([name]) => !name.startsWith(':'));
  if (!lines.some(([name]) => name.toLowerCase() === 'host')) {
    if (named === undefined)
      notes.push(
        'The capture names no host: routes of a host are not found, and a signature that covers the URL cannot hold; add its Host header.',
      );
    lines.unshift(['Host', named ?? 'unknown.invalid']);
  }
  const head = headOf(given.method, target, lines);
  if ('request' in head && head.request.contentLength !== undefined) {
    const length = lines.find(([name]) => name.toLowerCase() === 'content-length');
    if (length !== undefined) lengthChecked(body, head.request.contentLength, notes);
  }
  return {
    head,
    body,
    address: given.peer?.address,
    certificate: certificateOf(given.peer?.certificate, file),
    timeMs: given.time === undefined ? undefined : timeOf(given.time, 'time', file),
    notes,
  };
}

function captureOf(bytes: Buffer, file: string): Given {
  if (countValues(bytes) > MOST_VALUES)
    throw new CliError(
      `${file} holds more than ${MOST_VALUES} values; give one request, its body as text or as body_base64`,
      2,
    );
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    // V8 quotes the text around the mistake, and that may be a credential.
    throw new CliError(`${file} begins as JSON and is none; write ${SHAPE}, or give raw HTTP`, 2);
  }
  const read = captureSchema.safeParse(value);
  if (read.success) return read.data;
  const faults = read.error.issues.slice(0, MOST_FAULTS).map(({ path, code }) => {
    const place = path.map((key) => visible(String(key).slice(0, 40))).join('.') || 'the whole';
    const hint =
      path[0] === 'body'
        ? 'give its text, or body_base64: an object has lost the bytes that were signed'
        : code;
    return `  ${place}: ${hint}`;
  });
  throw new CliError(`${file} is not a captured request:\n${faults.join('\n')}\nwrite ${SHAPE}`, 2);
}

/** About as many values as the text would make, texts taken whole; before any of them is made. */
function countValues(bytes: Buffer): number {
  let count = 0;
  let isText = false;
  for (let place = 0; place < bytes.length; place += 1) {
    const byte = bytes[place];
    if (byte === BACKSLASH) place += 1;
    else if (byte === QUOTE) isText = !isText;
    else if (!isText && (byte === COMMA || byte === BRACKET || byte === BRACE)) count += 1;
  }
  return count;
}

function bodyOf({ body, body_base64: base64 }: Given, file: string, notes: string[]): Buffer {
  if (body !== undefined && base64 !== undefined)
    throw new CliError(`${file} has body and body_base64; keep the one that holds what was on the wire`, 2);
  if (base64 !== undefined) {
    const bytes = Buffer.from(base64, 'base64');
    if (bytes.toString('base64').replace(/=+$/, '') !== base64.replace(/=+$/, ''))
      throw new CliError(`${file} body_base64: not base64; write it whole, on one line`, 2);
    return bytes;
  }
  if (body !== undefined && !body.isWellFormed())
    notes.push('The body holds half a character: its bytes are lost; give it as body_base64.');
  return Buffer.from(body ?? '');
}

/** The Host a URL names, and its target: as they are written, since a parser would tidy up what is to be judged. */
function targetOf({ path, url }: Given, file: string): [string | undefined, string] {
  if (path !== undefined) return [undefined, path];
  const [, authority, target] = /^https?:\/\/([^/?#]*)(.*)$/s.exec(url ?? '') ?? [];
  if (authority === undefined || target === undefined)
    throw new CliError(`${file} has neither path, as "/codat/events", nor url, as "https://host/path"`, 2);
  return [authority, target === '' ? '/' : target];
}

type Line = [name: string, value: string];

function fieldsOf(headers: Given['headers']): Line[] {
  if (Array.isArray(headers)) return headers.map(([name, value]) => [name, value]);
  return Object.entries(headers).flatMap(([name, value]) =>
    (typeof value === 'string' ? [value] : value).map((one): Line => [name, one]),
  );
}

/** A line break within a part would make one more field of it, and a colon another name. */
function headOf(method: string, target: string, lines: readonly Line[]): Capture['head'] {
  if (
    /[\r\n]/.test(method + target) ||
    lines.some(([name, value]) => /[\r\n:]/.test(name) || /[\r\n]/.test(value))
  )
    return { reason: 'request.malformed', detail: 'a line break in a field, or a colon in a name' };
  const text = lines.map(([name, value]) => `${name}: ${wireText(value)}\r\n`).join('');
  const head = `${method} ${wireText(target)} HTTP/1.1\r\n${text}`;
  return head.length > MOST_HEAD_BYTES
    ? { reason: 'request.malformed', detail: 'head too large' }
    : parseHead(head);
}

/** Fields are bytes: what is beyond latin1 was sent as UTF-8. */
function wireText(text: string): string {
  return /[^\x00-\xff]/.test(text) ? Buffer.from(text).toString('latin1') : text;
}

function certificateOf(
  given: z.infer<typeof certificateSchema> | undefined,
  file: string,
): GivenCertificate | undefined {
  if (given === undefined) return undefined;
  if (given === null || given === false) return 'none';
  if (typeof given === 'string') return { pem: given };
  if (given.pem !== undefined) return { pem: given.pem };
  return {
    subject: given.subject,
    names: given.names,
    fingerprint: given.fingerprint,
    publicKey: given.public_key,
    notAfterMs: given.not_after === undefined ? undefined : timeOf(given.not_after, 'not_after', file),
  };
}

/** Below this, a number is of seconds: as milliseconds it would be of 1973. */
const FEWEST_MS = 100_000_000_000;

function timeOf(given: string | number, key: string, file: string): number {
  const ms =
    typeof given === 'string'
      ? readTime(given, Date.now())
      : Math.abs(given) < FEWEST_MS
        ? given * 1000
        : given;
  if (ms === undefined || !(Math.abs(ms) <= 8.64e15))
    throw new CliError(`${file} ${key}: not a time, such as 2026-01-31T12:00:00Z or seconds since 1970`, 2);
  return ms;
}
