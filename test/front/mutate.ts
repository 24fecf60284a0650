import fc from 'fast-check';

/** A change to a byte stream, as latin1 text. Where there is nothing that it could change, it changes nothing. */
export type Mutation = (bytes: string) => string;

const specialByte = fc.constantFrom(...'\0\t\n\v\f\r !"#%,/:;<=?@[\\]_{|}~\x7f\x80\x85\xa0\xff0159AaFfGzZ');
const anyByte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
const place = fc.nat(65_535);

/** Lines that have fooled a parser before. */
const hostileLine = fc.constantFrom(
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer_Encoding: chunked',
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: +5',
  'Content-Length: 5,5',
  'Content_Length: 5',
  'Connection: close',
  'Connection: content-length',
  'Connection: upgrade',
  'Upgrade: h2c',
  'Host: b',
  'Expect: 100-continue',
  ' folded',
  'X: a\nY: b',
  'X: a\rY: b',
);
const lineEnding = fc.constantFrom(
  ...['\n', '\r', '\r\r\n', '\n\r', '\r\n\r\n', '\r\n ', '\r\n\t', '', '\0\r\n', 'X\n', '\rX', 'XX'],
);
const sizeEdit = fc.constantFrom<Mutation[]>(
  (digits) => `0x${digits}`,
  (digits) => `+${digits}`,
  (digits) => `-${digits}`,
  (digits) => ` ${digits}`,
  (digits) => `${digits} `,
  (digits) => `0${digits}`,
  (digits) => digits.padStart(8, '0'),
  (digits) => digits.padStart(9, '0'),
  (digits) => digits.padStart(16, '0'),
  (digits) => `1${digits.padStart(16, '0')}`,
  (digits) => digits.toUpperCase(),
  (digits) => `${digits};a=b`,
  (digits) => `${digits};\n`,
  (digits) => `${digits}_0`,
  (digits) => (Number.parseInt(digits, 16) + 1).toString(16),
  (digits) => Math.max(0, Number.parseInt(digits, 16) - 1).toString(16),
);

const changeByte = fc.tuple(place, fc.oneof(specialByte, anyByte)).map(
  ([at, byte]): Mutation =>
    (bytes) =>
      replace(bytes, at % (bytes.length + 1), 1, byte),
);
const insertBytes = fc.tuple(place, fc.array(specialByte, { minLength: 1, maxLength: 2 })).map(
  ([at, put]): Mutation =>
    (bytes) =>
      replace(bytes, at % (bytes.length + 1), 0, put.join('')),
);
const deleteBytes = fc.tuple(place, fc.integer({ min: 1, max: 3 })).map(
  ([at, count]): Mutation =>
    (bytes) =>
      replace(bytes, at % (bytes.length + 1), count, ''),
);
const cutOff = place.map(
  (at): Mutation =>
    (bytes) =>
      bytes.slice(0, at % (bytes.length + 1)),
);

/** Header lines are what stands between the first line and the first empty one. */
const lines = (change: (all: string[]) => string[]): Mutation => {
  return (bytes) => {
    const end = bytes.indexOf('\r\n\r\n');
    const [first, ...rest] = bytes.slice(0, Math.max(end, 0)).split('\r\n');
    return end < 0 || rest.length === 0 ? bytes : [first, ...change(rest)].join('\r\n') + bytes.slice(end);
  };
};
const duplicateLine = fc
  .tuple(place, place)
  .map(([from, to]) =>
    lines((all) => all.toSpliced(to % (all.length + 1), 0, all[from % all.length] as string)),
  );
const deleteLine = place.map((at) => lines((all) => all.toSpliced(at % all.length, 1)));
const moveLine = fc.tuple(place, place).map(([from, to]) =>
  lines((all) => {
    const [moved] = all.splice(from % all.length, 1);
    return all.toSpliced(to % (all.length + 1), 0, moved as string);
  }),
);
const insertLine = fc
  .tuple(place, hostileLine)
  .map(([at, line]) => lines((all) => all.toSpliced(at % (all.length + 1), 0, line)));

const changeEnding = fc.tuple(place, lineEnding).map(([at, ending]) => nthMatch(/\r\n/g, at, () => ending));
const changeSize = fc
  .tuple(place, sizeEdit)
  .map(([at, edit]) => nthMatch(/(?<=\r\n|[Ll]ength: ?)[0-9A-Fa-f]+(?=\r\n)/g, at, edit));
const changeCase = place.map((at) =>
  nthMatch(/[A-Za-z]+/g, at, (word) =>
    word === word.toLowerCase() ? word.toUpperCase() : word.toLowerCase(),
  ),
);

/** One stream behind another, also from and to the middle of them. */
const splice = (others: fc.Arbitrary<string>): fc.Arbitrary<Mutation> =>
  fc.tuple(others, place, place, fc.constantFrom('behind', 'before', 'line', 'byte')).map(
    ([other, from, to, how]): Mutation =>
      (bytes) => {
        if (how === 'behind') return bytes + other;
        if (how === 'before') return other + bytes;
        const step = how === 'line' ? '\r\n' : '';
        const [head, tail] = [bytes.split(step), other.split(step)];
        return [...head.slice(0, to % (head.length + 1)), ...tail.slice(from % (tail.length + 1))].join(step);
      },
  );

/** One or two changes, rarely three; `others` is what streams are spliced with. */
export function mutations(others: fc.Arbitrary<string>): fc.Arbitrary<Mutation[]> {
  const one = fc.oneof(
    { weight: 3, arbitrary: changeByte },
    { weight: 2, arbitrary: insertBytes },
    deleteBytes,
    cutOff,
    duplicateLine,
    deleteLine,
    { weight: 2, arbitrary: moveLine },
    { weight: 2, arbitrary: insertLine },
    { weight: 2, arbitrary: changeEnding },
    { weight: 3, arbitrary: changeSize },
    { weight: 2, arbitrary: changeCase },
    { weight: 4, arbitrary: splice(others) },
  );
  return fc.oneof(
    { weight: 5, arbitrary: fc.tuple(one) },
    { weight: 3, arbitrary: fc.tuple(one, one) },
    fc.tuple(one, one, one),
  );
}

function replace(bytes: string, at: number, count: number, put: string): string {
  return bytes.slice(0, at) + put + bytes.slice(at + count);
}

function nthMatch(pattern: RegExp, at: number, change: (found: string) => string): Mutation {
  return (bytes) => {
    const all = [...bytes.matchAll(pattern)];
    const chosen = all[at % all.length];
    if (chosen === undefined) return bytes;
    return replace(bytes, chosen.index, chosen[0].length, change(chosen[0]));
  };
}
