import type { Wrong } from './values.ts';

/** What two parsers could read differently (DESIGN section 4, `target.ambiguous`): the gate refuses it. */
const AMBIGUOUS: readonly (readonly [RegExp, string])[] = [
  [/[\x00-\x20\x7f]/, 'a space or control character'],
  [/[^\x00-\x7f]/, 'a non-ASCII character'],
  [/\\/, 'a backslash'],
  [/\/\//, '//'],
  [/\/\.{1,2}(?:\/|$)/, 'a . or .. segment'],
  [/%(?:2f|5c|00|2e)/i, 'one of %2f, %5c, %00 and %2e'],
  [/%(?![\da-f]{2})/i, 'a % without two hexadecimal digits'],
];

/** The path of a route: exact, or ending in `/*`. */
export function readPath(path: string): string | Wrong {
  const plain = readPlainPath(path.endsWith('/*') ? path.slice(0, -1) : path);
  if (typeof plain !== 'string') return plain;
  if (plain.includes('*')) return { wrong: 'a * stands only at the end, after a /' };
  return path;
}

/** The path at an upstream. */
export function readUpstreamPath(path: string): string | Wrong {
  const plain = readPlainPath(path);
  if (typeof plain !== 'string') return plain;
  if (plain.includes('*')) return { wrong: 'it holds no *: what the * of path stands for is appended' };
  return path;
}

/** The path, and the query if any, of a health check. */
export function readHealthPath(target: string): string | Wrong {
  const plain = readPlainPath(target.replace(/\?.*/s, ''));
  if (typeof plain !== 'string') return plain;
  return /^[\x21-\x7e]+$/.test(target) && !target.includes('#')
    ? target
    : { wrong: 'its query holds what must be encoded, or a #' };
}

function readPlainPath(path: string): string | Wrong {
  if (!path.startsWith('/')) return { wrong: 'it begins with a /' };
  if (path.includes('?'))
    return { wrong: 'it holds no query: the query is no part of the choice and always passes on' };
  if (path.includes('#')) return { wrong: 'it holds no fragment: senders never send one' };
  const found = AMBIGUOUS.find(([pattern]) => pattern.test(path));
  return found === undefined
    ? path
    : { wrong: `it holds ${found[1]}, and a request with that is refused; leave it out` };
}
