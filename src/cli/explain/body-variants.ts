import { isUtf8 } from 'node:buffer';
import { parseMessage } from '../../message.ts';

/** Another body that may have been the signed one. */
export interface BodyVariant {
  readonly kind: string;
  /** How it differs, and what to do about it. */
  readonly sentence: string;
  readonly body: Buffer;
}

/** Trying costs a few copies of the body each; larger ones hold little that was typed by hand. */
const MOST_BYTES = 8 * 1024 * 1024;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);
const CRLF = Buffer.from('\r\n');
const KEEP = 'have it pass the body on byte for byte';

/** What proxies, loggers and clients do to a body between its signing and its arrival, undone one at a time. */
export function bodyVariants(body: Buffer): BodyVariant[] {
  if (body.length === 0 || body.length > MOST_BYTES) return [];
  const variants = [...lineVariants(body), ...encodingVariants(body), ...jsonVariants(body)];
  const seen = new Set([body.toString('latin1')]);
  return variants.filter((variant) => {
    const text = variant.body.toString('latin1');
    if (seen.has(text)) return false;
    seen.add(text);
    return true;
  });
}

function lineVariants(body: Buffer): BodyVariant[] {
  const text = body.toString('latin1');
  const lf = text.replaceAll('\r\n', '\n');
  return [
    {
      kind: 'newline.added',
      sentence: `without the line break at its end: something adds one behind the body; find what stands between the sender and here, and ${KEEP}.`,
      body: bytes(text.replace(/\r?\n$/, '')),
    },
    {
      kind: 'newline.lost',
      sentence: `with a line feed at its end: something has cut it off; ${KEEP}.`,
      body: Buffer.concat([body, Buffer.from('\n')]),
    },
    {
      kind: 'newline.lost',
      sentence: `with CRLF at its end: something has cut it off; ${KEEP}.`,
      body: Buffer.concat([body, CRLF]),
    },
    {
      kind: 'lines.crlf',
      sentence: `with line feeds in place of CRLF: something turns line ends into those of Windows; ${KEEP}.`,
      body: bytes(lf),
    },
    {
      kind: 'lines.lf',
      sentence: `with CRLF in place of line feeds: something turns line ends into those of Unix; ${KEEP}.`,
      body: bytes(lf.replaceAll('\n', '\r\n')),
    },
  ];
}

function encodingVariants(body: Buffer): BodyVariant[] {
  const variants: BodyVariant[] = [
    body.subarray(0, 3).equals(BOM)
      ? {
          kind: 'encoding.bom',
          sentence: `without the byte order mark at its start: something adds one; ${KEEP}.`,
          body: body.subarray(3),
        }
      : {
          kind: 'encoding.bom',
          sentence: `with a byte order mark at its start: something has taken it away; ${KEEP}.`,
          body: Buffer.concat([BOM, body]),
        },
    {
      kind: 'encoding.utf8',
      sentence: `read as Latin-1 and written as UTF-8: the sender signs UTF-8 and sends Latin-1, or something converts it; have both be UTF-8.`,
      body: Buffer.from(body.toString('latin1')),
    },
  ];
  if (isUtf8(body)) {
    const text = body.toString();
    if (/^[\x00-\xff]*$/.test(text))
      variants.push({
        kind: 'encoding.latin1',
        sentence: `read as UTF-8 and written as Latin-1: its letters were encoded twice, or the sender signs Latin-1; have both be UTF-8.`,
        body: bytes(text),
      });
  }
  const plain = body.toString('latin1').trim();
  if (/^[A-Za-z0-9+/]{8,}={0,2}$/.test(plain))
    variants.push({
      kind: 'encoding.base64',
      sentence: `decoded from base64: a gateway in front encodes bodies; switch that off, or have it decode them.`,
      body: Buffer.from(plain, 'base64'),
    });
  return variants;
}

function jsonVariants(body: Buffer): BodyVariant[] {
  // Its bounds keep what follows from being walked too deep.
  if (parseMessage(body) instanceof Error) return [];
  const text = body.toString();
  // Numbers as they are written: 1.0 and 2^53 + 1 would come out as others.
  const exact: unknown = JSON.parse(text, (_key, value, context?: { source?: string }) =>
    typeof value === 'number' && context?.source !== undefined ? rawNumber(context.source) : value,
  );
  const compact = JSON.stringify(exact);
  const spelt: readonly [string, string][] = [
    ['compact', compact],
    ['compact, numbers as JavaScript writes them', JSON.stringify(JSON.parse(text))],
    ['indented by two spaces', JSON.stringify(exact, undefined, 2)],
    ['indented by four spaces', JSON.stringify(exact, undefined, 4)],
    ['with its keys sorted', JSON.stringify(sorted(exact))],
    ['spaced as Python writes it', pythonText(exact)],
    ['spaced and escaped as Python writes it', escaped(pythonText(exact))],
    ['compact, escaped to ASCII', escaped(compact)],
    ['compact, with slashes escaped as PHP writes them', escaped(compact).replaceAll('/', '\\/')],
  ];
  return spelt.map(([how, json]) => ({
    kind: 'json.reserialised',
    sentence: `re-serialised as JSON, ${how}: something parses the body and writes it anew; ${KEEP}, or have the sender sign the bytes it sends.`,
    body: Buffer.from(json),
  }));
}

const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON: (text: string) => object;
  isRawJSON: (value: unknown) => boolean;
};

function rawNumber(source: string): object {
  return rawJSON(source);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null || isRawJSON(value)) return value;
  // From entries: a member `__proto__` is a member like any other.
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, one]) => [key, sorted(one)]),
  );
}

/** `json.dumps` puts a space behind each comma and colon. */
function pythonText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonText).join(', ')}]`;
  if (typeof value !== 'object' || value === null || isRawJSON(value)) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${pythonText(one)}`);
  return `{${members.join(', ')}}`;
}

function escaped(json: string): string {
  return json.replace(
    /[^\x00-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
