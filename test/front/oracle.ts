import { createServer, type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import type { Reading } from './read.ts';

/** node:http's parser (llhttp) on one connection, fed by hand. */
export interface Oracle {
  feed(bytes: Buffer): void;
  /** The requests of which the head is whole, in order. */
  count(): number;
  /** Whether the last of them has been read to the end of its body. */
  isWhole(): boolean;
  /** The parser's complaint; `undefined`: there is none. */
  complaint(): string | undefined;
  /** What was read, without the fields that the front drops. To be asked once. */
  readings(): Reading[];
  close(): void;
}

const server = createServer({
  maxHeaderSize: 64 * 1024,
  requestTimeout: 0,
  headersTimeout: 0,
  // Like the front, it grants no upgrade: what follows is HTTP.
  shouldUpgradeCallback: () => false,
});
server.maxHeadersCount = 0;

/**
 * Opens a connection. Everything happens before `feed` returns: a stream's events are spared, the parser's own
 * marks are looked at. Only one oracle may be open at a time.
 */
export function openOracle(): Oracle {
  const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  socket.on('error', () => undefined);
  const requests: IncomingMessage[] = [];
  let complaint: string | undefined;
  const onRequest = (request: IncomingMessage): void => {
    request.on('error', () => undefined);
    requests.push(request);
  };
  const onError = (error: NodeJS.ErrnoException): void => {
    complaint ??= error.code ?? error.message;
  };
  server.on('request', onRequest).on('checkContinue', onRequest).on('clientError', onError);
  server.emit('connection', socket);
  return {
    feed: (bytes) => void socket.emit('data', bytes),
    count: () => requests.length,
    isWhole: () => requests.at(-1)?.complete ?? false,
    complaint: () => complaint,
    readings: () => requests.map(readingOf),
    close: () => {
      server.off('request', onRequest).off('checkContinue', onRequest).off('clientError', onError);
      socket.destroy();
    },
  };
}

function readingOf(request: IncomingMessage): Reading {
  const fields = request.rawHeaders.map((text, place) => (place % 2 === 0 ? text.toLowerCase() : text));
  const parts: Buffer[] = [];
  for (let part = request.read(); part !== null; part = request.read()) parts.push(part as Buffer);
  return {
    method: request.method ?? '',
    target: request.url ?? '',
    fields: fields.filter((_, place) => !/[_.]/.test(fields[place - (place % 2)] as string)),
    body: Buffer.concat(parts).toString('latin1'),
  };
}
