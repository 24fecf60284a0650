import { beforeAll, describe, expect, test } from 'vitest';
import { readCorpus } from './front/corpus.ts';
import { deliver as deliverToFront, type Pace } from './front/deliver.ts';
import { readByFront } from './front/read.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { connect } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

/** However the bytes of a request are cut into segments, the same comes of it. */
let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const common = { addresses: 'any', upstream: 'app' };
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    limits: { body: '64B' },
    routes: [
      { name: 'all', path: '/*', ...common },
      { name: 'closed', path: '/closed', certificate: { names: ['CN:nobody'] }, ...common },
    ],
  });
});

interface Case {
  readonly what: string;
  readonly bytes: string;
  /** One for each answer: `200 METHOD TARGET BODY` as the upstream saw it, or status and reason. */
  readonly outcomes: readonly string[];
  /** Whether the gateway ends the connection by itself. */
  readonly ends: boolean;
}

const H = 'Host: a\r\n';
const post = (fields: string, body = '', path = '/'): string =>
  `POST ${path} HTTP/1.1\r\n${H}${fields}\r\n${body}`;
const get = (target: string, fields = ''): string => `GET ${target} HTTP/1.1\r\n${H}${fields}\r\n`;
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const passes = (what: string, bytes: string, ...outcomes: string[]): Case => ({
  what,
  bytes,
  outcomes,
  ends: false,
});
const ends = (what: string, bytes: string, ...outcomes: string[]): Case => ({
  what,
  bytes,
  outcomes,
  ends: true,
});
const malformed = (what: string, bytes: string): Case => ends(what, bytes, '400 request.malformed');
const X40 = 'x'.repeat(40);

const CASES: readonly Case[] = [
  passes('no body', get('/a?b'), '200 GET /a?b '),
  passes('a length', post('Content-Length: 4\r\n', 'body'), '200 POST / body'),
  passes(
    'a body that looks like the end of a head',
    post('Content-Length: 6\r\n', '\r\n\r\nGE'),
    '200 POST / \r\n\r\nGE',
  ),
  passes('an empty body', post('Content-Length: 0\r\n'), '200 POST / '),
  passes('one chunk', post(CHUNKED, '4\r\nbody\r\n0\r\n\r\n'), '200 POST / body'),
  passes('three chunks', post(CHUNKED, '1\r\nb\r\n2\r\nod\r\n00000001\r\ny\r\n0\r\n\r\n'), '200 POST / body'),
  passes(
    'chunk data that looks like a chunk',
    post(CHUNKED, 'A\r\n0\r\n\r\n\r\n0\r\n\r\n0\r\n\r\n'),
    '200 POST / 0\r\n\r\n\r\n0\r\n',
  ),
  passes('no chunk but the last', post(CHUNKED, '0\r\n\r\n'), '200 POST / '),
  passes('fields that are dropped', get('/', 'X_A: 1\r\nContent.Length: 9\r\n'), '200 GET / '),
  passes('two in one', get('/1') + get('/2'), '200 GET /1 ', '200 GET /2 '),
  passes(
    'a length and one more',
    post('Content-Length: 1\r\n', 'x') + get('/2'),
    '200 POST / x',
    '200 GET /2 ',
  ),
  passes(
    'chunks and one more',
    post(CHUNKED, '1\r\nx\r\n0\r\n\r\n') + get('/2'),
    '200 POST / x',
    '200 GET /2 ',
  ),
  passes(
    'a refused body and one more',
    post('Content-Length: 3\r\n', 'abc', '/closed') + get('/2'),
    '403 certificate.not_allowed',
    '200 GET /2 ',
  ),
  passes(
    'refused chunks and one more',
    post(CHUNKED, '3\r\nabc\r\n0\r\n\r\n', '/closed') + get('/2'),
    '403 certificate.not_allowed',
    '200 GET /2 ',
  ),
  passes(
    'too large by its length, and one more',
    post('Content-Length: 65\r\n', `${X40}${X40}`.slice(0, 65)) + get('/2'),
    '413 body.too_large',
    '200 GET /2 ',
  ),
  passes(
    'too large by its chunks, and one more',
    post(CHUNKED, `28\r\n${X40}\r\n28\r\n${X40}\r\n0\r\n\r\n`) + get('/2'),
    '413 body.too_large',
    '200 GET /2 ',
  ),
  passes(
    'an ambiguous target and one more',
    post('Content-Length: 2\r\n', 'ab', '//') + get('/2'),
    '400 target.ambiguous',
    '200 GET /2 ',
  ),
  passes('a control byte in the target', get('/\x01') + get('/2'), '400 target.ambiguous', '200 GET /2 '),
  ends('close, and one that is not served', get('/1', 'Connection: close\r\n') + get('/2'), '200 GET /1 '),
  malformed('a line feed in the target', get('/a\nb') + get('/2')),
  malformed('a carriage return in the target', get('/a\rb') + get('/2')),
  malformed('a bare line feed', `GET / HTTP/1.1\r\n${H}X: a\nY: b\r\n\r\n`),
  malformed('a bare carriage return', get('/', 'X: a\rb\r\n')),
  malformed('line feeds only', 'GET / HTTP/1.1\nHost: a\n\n'),
  malformed('an empty line first', `\r\n${get('/')}`),
  malformed('another version', get('/').replace('1.1', '1.0')),
  malformed('a folded value', get('/', 'X: a\r\n b\r\n')),
  malformed('two lengths', post('Content-Length: 1\r\nContent-Length: 1\r\n', 'x')),
  malformed('a length beside chunks', post(`${CHUNKED}Content-Length: 1\r\n`, '0\r\n\r\n')),
  malformed('a chunk extension', post(CHUNKED, '1;a\r\nx\r\n0\r\n\r\n')),
  malformed('a chunk that is longer than it says', post(CHUNKED, '1\r\nxy\r\n0\r\n\r\n')),
  malformed('a trailer', post(CHUNKED, '0\r\nX: 1\r\n\r\n')),
  malformed('a chunk ended by a line feed', post(CHUNKED, '1\nx\n0\n\n')),
  ends('a good one and a bad one', `${get('/1')}BAD\r\n\r\n`, '200 GET /1 ', '400 request.malformed'),
];

/** Sends the pieces on a connection of their own, each as one TLS record, and tells what came of it. */
async function deliver(pieces: readonly string[], { outcomes, ends: ended }: Case): Promise<string[]> {
  const connection = await connect(gateway);
  connection.socket.setNoDelay(true);
  for (const piece of pieces) {
    // Writes that wait for one another are not joined into one record; a gateway that has refused takes no more.
    await new Promise((resolve) => connection.socket.write(Buffer.from(piece, 'latin1'), resolve));
  }
  const seen: string[] = [];
  for (const _ of outcomes) {
    const answer = await connection.answer();
    const { id } = answer;
    if (answer.status === 200) {
      const { method, target, body } = await upstream.request((one) => headerOf(one, 'x-request-id') === id);
      seen.push(`200 ${method} ${target} ${body.toString('latin1')}`);
    } else {
      seen.push(`${answer.status} ${(await gateway.record(id)).reason}`);
    }
  }
  if (ended) {
    expect(await connection.closed()).toBe('');
  } else {
    connection.send(get('/after'));
    expect((await connection.answer()).status).toBe(200);
  }
  connection.close();
  return seen;
}

/** Every split costs a handshake. */
const SPLIT_BYTES = 100;
/** Every place is tried below, on the front alone: a handshake for each would take a minute. */
const SPLIT_STEP = 7;
const AT_ONCE = 16;

/** All ways to cut it: not at all, after every byte, and in two at every place. */
function cuts(bytes: string): string[][] {
  const inTwo = Array.from({ length: bytes.length - 1 }, (_, at) => [
    bytes.slice(0, at + 1),
    bytes.slice(at + 1),
  ]);
  const some = inTwo.filter((_, at) => at % SPLIT_STEP === SPLIT_STEP - 1);
  return [[bytes], [...bytes], ...(bytes.length > SPLIT_BYTES ? [] : some)];
}

describe('the same comes of it over TLS, in one piece, byte by byte and in two pieces', () => {
  test.each(CASES)('$what', async (one) => {
    const before = upstream.heads();
    const ways = cuts(one.bytes);
    for (let at = 0; at < ways.length; at += AT_ONCE) {
      const some = ways.slice(at, at + AT_ONCE);
      const seen = await Promise.all(some.map((pieces) => deliver(pieces, one)));
      for (const [place, outcomes] of seen.entries())
        expect(outcomes, JSON.stringify(some[place])).toEqual(one.outcomes);
    }
    const delivered = one.outcomes.filter((outcome) => outcome.startsWith('200')).length + (one.ends ? 0 : 1);
    expect(upstream.heads() - before, 'requests that reached the upstream').toBe(ways.length * delivered);
  });
});

/** Long cases are cut where it may matter only: beside what separates, and at most in so many places. */
const CUT_EVERYWHERE_BYTES = 400;
const MOST_CUTS = 150;

function placesToCut(bytes: Buffer): number[] {
  const places = Array.from(bytes.subarray(1), (_, at) => at + 1);
  if (bytes.length <= CUT_EVERYWHERE_BYTES) return places;
  const separates = (at: number): boolean => '\r\n: '.includes(String.fromCharCode(bytes[at] ?? 0x61));
  const near = places.filter((at) => [at - 2, at - 1, at, at + 1].some(separates));
  const step = Math.max(1, near.length / MOST_CUTS);
  return near.filter((_, place) => Math.floor(place / step) !== Math.floor((place - 1) / step));
}

describe('the corpus: the same comes of each case however it is cut', () => {
  test.each(readCorpus())('$name', async ({ name, bytes }) => {
    const whole = await deliverToFront([bytes], 'at once');
    const accepted = readByFront(bytes).items.filter(({ refused }) => !refused);
    // Bodies that nobody reads are not handed on.
    if (!name.startsWith('unread-')) expect(whole.given).toEqual(accepted.map(({ reading }) => reading));
    const expectSame = async (pieces: readonly Buffer[], pace: Pace): Promise<void> => {
      const outcome = await deliverToFront(pieces, pace);
      expect(outcome, `${pace}: ${JSON.stringify(pieces.map(String))}`).toEqual(whole);
    };
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    await expectSame(single, 'at once');
    await expectSame(single, 'one by one');
    for (const at of placesToCut(bytes))
      await expectSame([bytes.subarray(0, at), bytes.subarray(at)], 'one by one');
  });
});
