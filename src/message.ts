import { isUtf8 } from 'node:buffer';

export type KeyPath = readonly string[];

/** Deeper than any event is; a message that nests further is made to hurt whoever walks it. */
const DEEPEST = 64;
/** Larger messages are not looked into. */
const LARGEST_BYTES = 1024 * 1024;

const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST, QUOTE, BACKSLASH] = [...'{}[]"\\'].map((character) =>
  character.charCodeAt(0),
);

/**
 * Looks into a message: JSON in UTF-8 (RFC 8259) within bounds. The bytes themselves are never replaced by what comes out of this.
 * @returns an Error that says why it cannot be looked into
 */
export function parseMessage(body: Buffer): unknown {
  if (body.length > LARGEST_BYTES)
    return new Error(`larger than ${LARGEST_BYTES} bytes, so it is not looked into`);
  if (isDeeper(body, DEEPEST)) return new Error(`nested deeper than ${DEEPEST}, so it is not looked into`);
  try {
    if (isUtf8(body)) return JSON.parse(body.toString());
  } catch {
    // Said below.
  }
  return new Error('not JSON in UTF-8');
}

/** The first text that stands at one of these places of a message. */
export function memberAt(message: unknown, places: readonly KeyPath[]): string | undefined {
  for (const place of places) {
    const value = valueAt(message, place);
    if (typeof value === 'string') return value;
  }
  return undefined;
}

/** What stands at this place; `undefined`: nothing. */
export function valueAt(message: unknown, place: KeyPath): unknown {
  return place.reduce(member, message);
}

/**
 * A text member of the outermost object with nothing nested before it: there most senders put the type, and finding
 * it costs a tenth of parsing the message. No two parts can match the same character, so the cost is linear.
 */
export function earlyMember(key: string): RegExp {
  const member = String.raw`"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-+.\w]+)\s*,\s*`;
  return new RegExp(
    String.raw`^\s*\{\s*(?:${member})*?"${RegExp.escape(key)}"\s*:\s*"([ -!#-\[\]-~]{1,128})"`,
  );
}

/** Own members only: every object has a `constructor` and a `__proto__`. */
function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

function isDeeper(body: Buffer, deepest: number): boolean {
  let depth = 0;
  let isText = false;
  for (let place = 0; place < body.length; place += 1) {
    const byte = body[place];
    if (isText) {
      if (byte === BACKSLASH) place += 1;
      else if (byte === QUOTE) isText = false;
    } else if (byte === QUOTE) isText = true;
    else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      depth += 1;
      if (depth > deepest) return true;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth -= 1;
  }
  return false;
}
