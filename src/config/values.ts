import { z } from 'zod';

/** What a value turned out not to be. */
export interface Wrong {
  /** Follows "expected …, got …" as a hint; or, with `alone`, is the whole sentence. */
  readonly wrong: string;
  readonly alone?: boolean;
  /** The sentence holds the value, or what can be told of it: not to be shown of what a `${…}` brought in. */
  readonly quotes?: boolean;
}

export interface ScalarRules<Value> {
  /** A noun phrase with an example: `a duration such as 15s`. */
  readonly expected: string;
  /** The value's text, without anchors, as a regular expression for editors. */
  readonly pattern?: string;
  /** Further keywords of the JSON Schema. */
  readonly json?: Readonly<Record<string, unknown>>;
  /** A secret is never shown: not in a message, not by `check --show` or `/config`. */
  readonly secret?: boolean;
  /** No secret itself, but one may stand there by mistake: not shown in a message. */
  readonly quiet?: boolean;
  /** `undefined`: not what was expected. */
  readonly read: (text: string) => Value | Wrong | undefined;
}

/** The schema's mark of a secret, a keyword of JSON Schema; what shows the configuration goes by it. */
export const SECRET = Object.freeze({ writeOnly: true });

/** One value written as text. A bare number or boolean that would be right in quotes is told so. */
export function scalar<Value extends string | number | boolean | object>(rules: ScalarRules<Value>) {
  const pattern = rules.pattern === undefined ? {} : { pattern: `^(?:${rules.pattern})$|\\$\\{` };
  return z
    .unknown()
    .transform((input, context): Value => {
      const text = typeof input === 'string' ? input : undefined;
      const result = text === undefined ? undefined : rules.read(text);
      if (result !== undefined && !isWrong(result)) return result;
      const kind = typeof input === 'object' && input !== null;
      let message = isWrong(result) ? result.wrong : '';
      if (typeof input === 'number' || typeof input === 'boolean') {
        const quoted = rules.read(String(input));
        const advice = `YAML reads this as a ${typeof input}: put it in quotes`;
        if (quoted !== undefined) message = isWrong(quoted) ? quoted.wrong : advice;
      }
      const found = isWrong(result) ? result : undefined;
      const params = {
        expected: rules.expected,
        hint: message,
        alone: found?.alone === true,
        quotes: found?.quotes === true,
        secret: rules.secret === true || rules.quiet === true,
        kind,
      };
      context.addIssue({ code: 'custom', params });
      return z.NEVER;
    })
    .meta({ type: 'string', ...pattern, ...rules.json, ...(rules.secret === true ? SECRET : {}) });
}

function isWrong(value: unknown): value is Wrong {
  return typeof value === 'object' && value !== null && 'wrong' in value;
}

/** A value that is the whole sentence of what is wrong with it. */
export function wrong(sentence: string): Wrong {
  return { wrong: sentence, alone: true };
}

/** The same, of a sentence that holds the value. */
export function wrongValue(sentence: string): Wrong {
  return { wrong: sentence, alone: true, quotes: true };
}

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/;

/** The longest that one of Node's timers waits (2^31 - 1 ms) is a little over this. */
export const LONGEST_TIMER_HOURS = 24 * 24;

/** Milliseconds. @param zero whether `0s` makes sense; @param maxHours the longest that does */
export function duration({ zero = false, maxHours = LONGEST_TIMER_HOURS } = {}) {
  return scalar<number>({
    expected: 'a duration such as 500ms, 15s, 5m, 28h or 7d',
    pattern: '\\d{1,9}(?:ms|s|m|h|d)',
    read(text) {
      const match = DURATION.exec(text);
      if (match === null)
        return /^\d+$/.test(text) ? { wrong: 'write its unit as well: ms, s, m, h or d' } : undefined;
      const ms = Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
      if (ms === 0 && !zero) return { wrong: 'it must be longer than nothing' };
      if (ms > maxHours * UNIT_MS.h) return { wrong: `the longest is ${maxHours}h` };
      return ms;
    },
  });
}

const UNIT_BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** Bytes; at least one. */
export function size() {
  return scalar<number>({
    expected: 'a size such as 512B, 256KiB, 1MiB or 1GiB',
    pattern: '\\d{1,9}(?:B|KiB|MiB|GiB)',
    read(text) {
      const match = /^(\d{1,9})(B|KiB|MiB|GiB)$/.exec(text);
      if (match === null)
        return /^\d+$/.test(text) ? { wrong: 'write its unit as well: B, KiB, MiB or GiB' } : undefined;
      const bytes = Number(match[1]) * UNIT_BYTES[match[2] as keyof typeof UNIT_BYTES];
      if (bytes === 0) return { wrong: 'it must be at least 1B' };
      // JavaScript counts exactly up to 2^53; no machine holds as much.
      return bytes > Number.MAX_SAFE_INTEGER ? { wrong: 'the largest is 8388607GiB' } : bytes;
    },
  });
}

/** Requests in a span of time: `50/s`, `600/m`, `5/2s`. */
export function rate() {
  return scalar<{ readonly count: number; readonly perMs: number }>({
    expected: 'a rate such as 50/s, 600/m or 5/2s',
    pattern: '\\d{1,9}/\\d{0,9}(?:ms|s|m|h|d)',
    read(text) {
      const match = /^(\d{1,9})\/(\d{0,9})(ms|s|m|h|d)$/.exec(text);
      if (match === null) return undefined;
      const count = Number(match[1]);
      const perMs = (match[2] === '' ? 1 : Number(match[2])) * UNIT_MS[match[3] as keyof typeof UNIT_MS];
      if (count === 0 || perMs === 0) return { wrong: 'both sides of the / must be more than 0' };
      if (perMs > LONGEST_TIMER_HOURS * UNIT_MS.h)
        return { wrong: `the longest span is ${LONGEST_TIMER_HOURS}h` };
      return { count, perMs };
    },
  });
}

/** A whole number; its digits in quotes, or out of a `${…}`, will do. */
export function integer(expected: string, minimum: number, maximum: number) {
  const read = (input: unknown): number | undefined => {
    const value = typeof input === 'string' && /^\d{1,15}$/.test(input) ? Number(input) : input;
    return Number.isInteger(value) && Number(value) >= minimum && Number(value) <= maximum
      ? Number(value)
      : undefined;
  };
  const phrase = `${expected} from ${minimum} to ${maximum}`;
  const anyOf = [
    { type: 'integer', minimum, maximum },
    { type: 'string', pattern: '^\\d+$|\\$\\{' },
  ];
  return plain(read, phrase, { anyOf });
}

/** `true` or `false`. */
export function flag() {
  const read = (input: unknown): boolean | undefined => {
    if (typeof input === 'boolean') return input;
    return input === 'true' ? true : input === 'false' ? false : undefined;
  };
  return plain(read, 'true or false', {
    anyOf: [{ type: 'boolean' }, { type: 'string', pattern: '^(?:true|false)$|\\$\\{' }],
  });
}

/** A value that YAML itself gives a kind. */
function plain<Value extends number | boolean>(
  read: (input: unknown) => Value | undefined,
  expected: string,
  json: Readonly<Record<string, unknown>>,
) {
  return z
    .unknown()
    .transform((input, context): Value => {
      const value = read(input);
      if (value !== undefined) return value;
      const kind = typeof input === 'object' && input !== null;
      context.addIssue({ code: 'custom', params: { expected, kind } });
      return z.NEVER;
    })
    .meta(json);
}

function phraseOf(words: readonly string[]): string {
  return words.length > 2 ? `one of ${words.join(', ')}` : words.join(' or ');
}

/** One of a few words. */
export function word<const Words extends readonly string[]>(words: Words, expected = phraseOf(words)) {
  return scalar<Words[number]>({
    expected,
    pattern: words.join('|'),
    read: (text) => words.find((candidate) => candidate === text),
  });
}

/** Text that is not empty, without control characters. @param quiet whether a secret may stand there by mistake */
export function text(expected: string, quiet = false) {
  return scalar<string>({
    expected,
    quiet,
    read: (value) => (value.trim() === '' || /[\x00-\x1f\x7f]/.test(value) ? undefined : value),
  });
}

/** A credential or other field value: one line of visible ASCII, which is what a header can carry unchanged. */
export function fieldValue(expected: string, secret: boolean) {
  return scalar<string>({ expected, secret, read: readFieldValue });
}

/** RFC 9110 section 5.5: white space around a field's value is not part of it, so it could never match. */
export function readFieldValue(value: string): string | Wrong {
  if (value === '') return { wrong: 'it is empty' };
  if (value !== value.trim()) return { wrong: 'it begins or ends with white space' };
  if (!/^[\x20-\x7e]+$/.test(value)) return { wrong: 'it holds a control or non-ASCII character' };
  return value;
}

/** A format of our own: what shows the configuration tells of the certificates in such a file. */
export const PEM_FILE = 'pem-file';

/** The path of a PEM file. */
export function pemFile() {
  return scalar<string>({
    expected: 'the path of a PEM file',
    // Somebody may have pasted the key itself, or brought it in by ${file:…}.
    quiet: true,
    json: { format: PEM_FILE },
    read(value) {
      if (value.includes('-----BEGIN'))
        return { wrong: 'this is the text of the file itself; write its path' };
      return value.trim() === '' || /[\x00-\x1f\x7f]/.test(value) ? undefined : value;
    },
  });
}
