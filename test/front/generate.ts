import fc from 'fast-check';
import type { CorpusCase } from './corpus.ts';
import { mutations } from './mutate.ts';

const text = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({
    unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
    maxLength,
  });
const method = fc.oneof(
  { weight: 24, arbitrary: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS') },
  fc.constantFrom('TRACE', 'CONNECT', 'get', 'PRI', 'M-SEARCH', 'QUERY', 'SOURCE', ''),
);
const target = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^\/[a-zA-Z0-9._~!$&'()*+,;=:@%?-]{0,30}$/) },
  { weight: 8, arbitrary: fc.stringMatching(/^\/[a-z0-9?=&]{0,9}$/) },
  fc.constantFrom('/', '*', '/a?b?c', '/?%', '/a?#', '/a?\xff', 'http://a/b', '//a', '/a:80', '?a'),
  fc.constantFrom('/a?"<>[]{}|^`', '/{a}|b', '/a?\\', '/a;b=c', '/a%20b'),
  text(12).map((rest) => `/${rest}`),
);
const oddFields = fc.constantFrom(
  'Connection: close',
  'Connection: keep-alive, TE',
  'Connection: Upgrade',
  'Connection:\tupgrade ,close',
  'Connection: \xa0close',
  'Connection: ,',
  'Connection: close\t',
  'Connection: closed',
  'Connection: keep-alive,keep-alive',
  'Proxy-Connection: keep-alive',
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
  'X:',
  'X: \t ',
  'X:\t\xa0a\xa0 ',
  'Authorization: Bearer a',
);
const badFields = fc.constantFrom('Content-Length : 3', ' folded', '\tfolded', ':', 'X', 'Host: other');
const fieldLine = fc.oneof(
  {
    weight: 16,
    arbitrary: fc
      .tuple(fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/), text(16))
      .map(([name, value]) => `${name}:${value.replaceAll('\x7f', '')}`),
  },
  { weight: 10, arbitrary: oddFields },
  badFields,
);
const host = fc.oneof(
  { weight: 24, arbitrary: fc.constantFrom('Host: a', 'host:a:1', 'HOST: [::1]:8443\t', 'Host: a_b') },
  fc.constantFrom('Host:', 'Host: a, b', 'X: 1'),
);
const content = text(24);
const chunk = content
  .filter((part) => part.length > 0)
  .chain((part) => {
    const size = part.length.toString(16);
    const spelled = fc.constantFrom(size, size.toUpperCase(), `0${size}`, size.padStart(8, '0'));
    return spelled.map((digits) => `${digits}\r\n${part}\r\n`);
  });
const length = fc
  .tuple(
    fc.constantFrom('Content-Length: ', 'content-length:', 'Content-Length:\t'),
    fc.constantFrom('', '', '0', '000'),
    content,
  )
  .map(([name, zeros, body]) => ({ field: `${name}${zeros}${body.length}\r\n`, body }));
const chunks = fc
  .tuple(
    fc.oneof(
      {
        weight: 9,
        arbitrary: fc.constantFrom('Transfer-Encoding: chunked', 'transfer-encoding:\tCHUNKED  '),
      },
      fc.constantFrom('Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: xchunked'),
    ),
    fc.array(chunk, { maxLength: 3 }),
    fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom('0\r\n\r\n', '00000000\r\n\r\n') },
      fc.constantFrom('0;a\r\n\r\n', '0\r\nX: 1\r\n\r\n', '0\n\n'),
    ),
  )
  .map(([field, parts, last]) => ({ field: `${field}\r\n`, body: parts.join('') + last }));
const version = fc.oneof(
  { weight: 39, arbitrary: fc.constant('HTTP/1.1') },
  fc.constantFrom('HTTP/1.0', 'HTTP/1.2'),
);

/** One request, mostly a sound one. */
const request = fc
  .record({
    method,
    target,
    version,
    host,
    fields: fc.array(fieldLine, { maxLength: 4 }),
    framed: fc.oneof(fc.constant({ field: '', body: '' }), length, chunks),
  })
  .map(({ method, target, version, host, fields, framed }) => {
    const lines = [host, ...fields].map((line) => `${line}\r\n`).join('');
    return `${method} ${target} ${version}\r\n${lines}${framed.field}\r\n${framed.body}`;
  });

/**
 * Byte streams, as latin1 text, of which a good part is let in: requests made from scratch and cases of the corpus,
 * one or several on a connection, as they are and damaged.
 */
export function streams(corpus: readonly CorpusCase[]): fc.Arbitrary<string> {
  // A head of 16 KiB takes the time of a hundred others.
  const texts = corpus
    .filter(({ bytes }) => bytes.length < 2048)
    .map(({ bytes }) => bytes.toString('latin1'));
  const known = fc.constantFrom(...texts);
  const start = fc.oneof(
    { weight: 4, arbitrary: request },
    { weight: 2, arbitrary: fc.array(request, { minLength: 2, maxLength: 3 }).map((all) => all.join('')) },
    { weight: 2, arbitrary: known },
  );
  return fc.oneof(
    { weight: 2, arbitrary: start },
    {
      weight: 3,
      arbitrary: fc
        .tuple(start, mutations(known))
        .map(([bytes, changes]) => changes.reduce((changed, change) => change(changed), bytes)),
    },
  );
}
