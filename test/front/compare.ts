import { isDeepStrictEqual } from 'node:util';
import { openOracle } from './oracle.ts';
import { type FrontReading, type Item, type Reading, readByFront } from './read.ts';

/** What comparing one byte stream came to. */
export interface Comparison {
  /** How many requests the front accepted. */
  readonly accepted: number;
  /** What llhttp does otherwise, in a sentence; `undefined`: both read alike. */
  readonly difference: string | undefined;
}

const NEXT_BYTES = Buffer.from('GET /next HTTP/1.1\r\nHost: next\r\n\r\n');
const NEXT: Reading = { method: 'GET', target: '/next', fields: ['host', 'next'], body: '' };

/**
 * Whatever the front lets in, another strict parser (llhttp, through node:http) must read in the same way: as many
 * requests, each with the same method, target, fields and body, and each ending at the same byte. The other
 * direction does not hold: the front refuses more.
 * @param read for the proof that a front which is too lenient is found out
 */
export function compare(bytes: Buffer, read: (bytes: Buffer) => FrontReading = readByFront): Comparison {
  const { items, ending } = read(bytes);
  const known = items.findIndex(isKnown);
  const some = known < 0 ? items : items.slice(0, known);
  // llhttp takes Proxy-Connection for Connection, against RFC 9112 appendix C.2.2: it may close where the front goes on.
  const odd = some.findIndex(({ reading }) => reading.fields.includes('proxy-connection'));
  const compared = odd < 0 ? some : some.slice(0, odd + 1);
  const accepted = compared.filter((item) => !item.refused).length;
  if (accepted === 0) return { accepted, difference: undefined };
  const closes = known < 0 && ending === 'closed';
  // It forgets `close` beside a wish to upgrade; the front closes.
  const forgets = closes && compared.at(-1)?.reading.fields.includes('upgrade');
  const follows = odd >= 0 || forgets ? 'unknown' : closes ? 'nothing' : 'more';
  return { accepted, difference: differenceOf(bytes, compared, follows) };
}

/** Where the two are known to differ, and harmlessly so. */
function isKnown({ reading }: Item): boolean {
  // After CONNECT llhttp reads no HTTP; no route can have that method, and the connection is closed after it.
  return reading.method === 'CONNECT';
}

/** What the connection is for after the requests. */
type Follows = 'more' | 'nothing' | 'unknown';

function differenceOf(bytes: Buffer, items: readonly Item[], follows: Follows): string | undefined {
  const oracle = openOracle();
  try {
    for (const [place, item] of items.entries()) {
      const one = `request ${place + 1} (bytes ${item.start} to ${item.end})`;
      const sent = item.refused ? withPlainTarget(bytes, item) : bytes.subarray(item.start, item.end);
      oracle.feed(sent.subarray(0, -1));
      if (oracle.count() > place && oracle.isWhole()) return `llhttp sees the end of ${one} too early`;
      oracle.feed(sent.subarray(-1));
      const complaint = oracle.complaint();
      if (complaint !== undefined) return `llhttp refuses ${one}: ${complaint}`;
      if (oracle.count() !== place + 1 || !oracle.isWhole()) return `llhttp sees no end of ${one} there`;
    }
    const expected = items.map(({ reading, refused }) => (refused ? { ...reading, target: '/' } : reading));
    if (follows !== 'unknown') {
      oracle.feed(NEXT_BYTES);
      const complaint = oracle.complaint();
      const wanted = follows === 'nothing' ? 'HPE_CLOSED_CONNECTION' : undefined;
      if (complaint !== wanted) return `behind the last request llhttp says ${complaint}, not ${wanted}`;
      if (follows === 'more') expected.push(NEXT);
    }
    return firstDifference(expected, oracle.readings());
  } finally {
    oracle.close();
  }
}

/** llhttp need not take a target that is refused; where the request ends must be beyond doubt all the same. */
function withPlainTarget(bytes: Buffer, { start, end, reading }: Item): Buffer {
  const text = bytes.toString('latin1', start, end);
  return Buffer.from(
    text.replace(` ${reading.target} `, () => ' / '),
    'latin1',
  );
}

function firstDifference(expected: readonly Reading[], seen: readonly Reading[]): string | undefined {
  for (let place = 0; place < Math.max(expected.length, seen.length); place += 1) {
    const [own, other] = [expected[place], seen[place]];
    if (!isDeepStrictEqual(own, other))
      return `request ${place + 1}: the front reads ${JSON.stringify(own)}, llhttp ${JSON.stringify(other)}`;
  }
  return undefined;
}
