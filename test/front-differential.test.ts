import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { duplexPair } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChunkedFraming, LengthFraming } from '../src/listen/framing.ts';
import { MOST_HEAD_BYTES, parseHead } from '../src/listen/head.ts';

/**
 * Whatever this front lets in, another strict parser (llhttp, through node:http) must read in the same way: the same
 * method, target, fields and body, and the next request at the same byte. The other direction does not hold: this
 * front refuses more. `FUZZ_SEED=n` repeats a run.
 */
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const FUZZ_MS = 5000;

interface Reading {
  readonly method: string;
  readonly target: string;
  readonly fields: readonly string[];
  readonly body: string;
}

/** What this front reads at the beginning of `bytes`, and how many it uses; `undefined`: refused or incomplete. */
function ownReading(bytes: Buffer): { reading: Reading; used: number; last: boolean } | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0 || end + 4 > MOST_HEAD_BYTES) return undefined;
  const text = bytes.toString('latin1', 0, end + 2);
  // RFC 9110 section 5.6.3 allows a tab behind a value; llhttp refuses one behind `chunked`.
  if (/\r\ntransfer-encoding:[^\r]*\t\r/i.test(text)) return undefined;
  const head = parseHead(text);
  if ('reason' in head || head.refusal !== undefined) return undefined;
  // After CONNECT a server no longer speaks HTTP; no route can have that method.
  const { method, path, query, headers, contentLength } = head.request;
  if (method === 'CONNECT') return undefined;
  const framing = contentLength === undefined ? new ChunkedFraming() : new LengthFraming(contentLength);
  const parts: Buffer[] = [];
  const used = framing.push(bytes.subarray(end + 4), (content) => parts.push(content) > 0);
  if (used < 0 || !framing.done) return undefined;
  const body = Buffer.concat(parts).toString('latin1');
  return {
    reading: { method, target: path + query, fields: headers, body },
    used: end + 4 + used,
    // What follows a wish to upgrade is another protocol's to llhttp; this front grants no such wish.
    last: head.wantsClose || headers.includes('upgrade'),
  };
}

const server = createServer({ maxHeaderSize: 64 * 1024, requestTimeout: 0, headersTimeout: 0 });
server.maxHeadersCount = 0;

/** What node:http reads in `bytes`: its requests, and the parser's complaint. */
async function otherReadings(bytes: Buffer): Promise<{ readings: Reading[]; complaint: string | undefined }> {
  const [client, far] = duplexPair();
  const readings: Reading[] = [];
  let complaint: string | undefined;
  const onRequest = (request: IncomingMessage, response: { end(): void }): void => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('error', () => undefined);
    request.on('end', () => {
      const fields = request.rawHeaders.map((text, place) => (place % 2 === 0 ? text.toLowerCase() : text));
      const kept = fields.filter((_, place) => !/[_.]/.test(fields[place - (place % 2)] as string));
      const body = Buffer.concat(parts).toString('latin1');
      readings.push({ method: request.method ?? '', target: request.url ?? '', fields: kept, body });
      response.end();
    });
  };
  const onError = (error: NodeJS.ErrnoException): void => {
    complaint ??= error.code ?? error.message;
    client.destroy();
  };
  server.on('request', onRequest).on('checkContinue', onRequest).on('clientError', onError);
  server.emit('connection', far);
  client.on('error', () => undefined).resume();
  const closed = once(client, 'close');
  client.end(bytes);
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 1000))]);
  server.off('request', onRequest).off('checkContinue', onRequest).off('clientError', onError);
  client.destroy();
  far.destroy();
  return { readings, complaint };
}

const NEXT: Reading = { method: 'GET', target: '/next', fields: ['host', 'next'], body: '' };
const NEXT_BYTES = Buffer.from('GET /next HTTP/1.1\r\nHost: next\r\n\r\n');

const hostileByte = fc.constantFrom(...'\0\t\n\v\r !"#%,/:;<=?@[\\]_{|}~\x7f\x80\x85\xa0\xff0159AaFfGzZ');
const text = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({
    unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
    maxLength,
  });
const method = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS') },
  fc.constantFrom('TRACE', 'CONNECT', 'get', 'PRI', 'M-SEARCH', 'QUERY', 'SOURCE', ''),
);
const target = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^\/[a-zA-Z0-9._~!$&'()*+,;=:@%?-]{0,30}$/) },
  fc.constantFrom(
    '/',
    '*',
    '/a?b?c',
    '/?%',
    '/a?#',
    '/a?\xff',
    'http://a/b',
    '//a',
    '/a?"<>[]{}|^`',
    '/a:80',
    '?a',
  ),
  text(12).map((rest) => `/${rest}`),
);
const fieldLine = fc.oneof(
  fc
    .tuple(fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/), text(16))
    .map(([name, value]) => `${name}:${value}`),
  fc.constantFrom(
    'Connection: close',
    'Connection: keep-alive, TE',
    'Connection: Upgrade',
    'Connection:\tupgrade ,close',
    'Connection: \xa0close',
    'Connection: ,',
    'Upgrade: h2c',
    'Upgrade: websocket',
    'HTTP2-Settings: AA',
    'Expect: 100-continue',
    'Expect: 100-Continue ',
    'Keep-Alive: timeout=5',
    'TE: trailers',
    'Trailer: X',
    'Content_Length: 3',
    'Transfer.Encoding: chunked',
    'Content-Length : 3',
    ' folded',
    '\tfolded',
    'X:',
    'X: \t ',
    'X:\t\xa0a\xa0 ',
    ':',
    'X',
    'Host: other',
  ),
);
const host = fc.constantFrom(
  'Host: a',
  'host:a:1',
  'HOST: [::1]:8443\t',
  'Host: a_b',
  'Host:',
  'Host: a, b',
  'X: 1',
);
const content = text(24);
const hex = (size: number): fc.Arbitrary<string> =>
  fc.constantFrom(
    size.toString(16),
    size.toString(16).toUpperCase(),
    `0${size.toString(16)}`,
    `0000000${size}`,
  );
const chunk = content
  .filter((part) => part.length > 0)
  .chain((part) => hex(part.length).map((size) => `${size}\r\n${part}\r\n`));
const framed = fc.oneof(
  fc.constant({ field: '', body: '' }),
  fc
    .tuple(
      fc.constantFrom('Content-Length: ', 'content-length:', 'Content-Length:\t'),
      fc.constantFrom('', '0', '000'),
      content,
    )
    .map(([name, zeros, body]) => ({ field: `${name}${zeros}${body.length}\r\n`, body })),
  fc
    .tuple(
      fc.constantFrom(
        'Transfer-Encoding: chunked',
        'transfer-encoding:\tCHUNKED  ',
        'Transfer-Encoding: chunked, chunked',
      ),
      fc.array(chunk, { maxLength: 3 }),
      fc.constantFrom('0\r\n\r\n', '00000000\r\n\r\n', '0;a\r\n\r\n', '0\r\nX: 1\r\n\r\n', '0\n\n'),
    )
    .map(([field, parts, last]) => ({ field: `${field}\r\n`, body: parts.join('') + last })),
);
const change = fc.record({
  at: fc.nat(),
  drop: fc.constantFrom(0, 0, 1, 1, 2),
  put: fc.array(hostileByte, { maxLength: 2 }),
});

const requests = fc
  .record({
    method,
    target,
    version: fc.oneof(
      { weight: 9, arbitrary: fc.constant('HTTP/1.1') },
      fc.constantFrom('HTTP/1.0', 'HTTP/1.2'),
    ),
    host,
    fields: fc.array(fieldLine, { maxLength: 4 }),
    framed,
    changes: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(change, { maxLength: 3 })),
  })
  .map((parts) => {
    const lines = [parts.host, ...parts.fields].map((line) => `${line}\r\n`).join('');
    const { field, body } = parts.framed;
    let bytes = `${parts.method} ${parts.target} ${parts.version}\r\n${lines}${field}\r\n${body}`;
    for (const { at, drop, put } of parts.changes) {
      const place = at % (bytes.length + 1);
      bytes = bytes.slice(0, place) + put.join('') + bytes.slice(place + drop);
    }
    return bytes;
  });

test(
  `what is let in is read alike by node:http (FUZZ_SEED=${SEED})`,
  async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(requests, async (input) => {
        const own = ownReading(Buffer.from(input, 'latin1'));
        if (own === undefined) return;
        compared += 1;
        const bytes = Buffer.from(input, 'latin1').subarray(0, own.used);
        const other = await otherReadings(own.last ? bytes : Buffer.concat([bytes, NEXT_BYTES]));
        expect(other).toEqual({
          readings: own.last ? [own.reading] : [own.reading, NEXT],
          complaint: undefined,
        });
      }),
      { seed: SEED, numRuns: 1_000_000, interruptAfterTimeLimit: FUZZ_MS },
    );
    expect(compared).toBeGreaterThan(100);
    if (process.env.FUZZ_SEED !== undefined) console.info(`${compared} readings compared`);
  },
  FUZZ_MS * 6,
);
