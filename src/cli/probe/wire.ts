import { isIP } from 'node:net';
import { performance } from 'node:perf_hooks';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { alertOf, codeOf, failureInWords } from '../send/failure.ts';
import type { Identity } from '../send/post.ts';
import { type AnswerHead, readAnswerHead } from './answer.ts';

/** Where a probe goes, and whom it trusts there. */
export interface Destination {
  readonly host: string;
  readonly port: number;
  /** `undefined`: the public CAs. */
  readonly ca: Buffer | undefined;
}

/** A request as bytes: the head, and the body in pieces with a pause before each. */
export interface Bytes {
  readonly head: Buffer;
  readonly body: readonly Buffer[];
  readonly pauseMs: number;
}

/** What came of one request; whatever the receiver does, it is one of these, and it is there by the deadline. */
export type Came = { readonly ms: number } & (
  | ({ readonly kind: 'answer' } & AnswerHead)
  /** The receiver ended the TLS connection with a word of why. */
  | { readonly kind: 'alert'; readonly why: string }
  /** It closed or reset the connection without an answer. */
  | { readonly kind: 'closed'; readonly why: string }
  | { readonly kind: 'silent'; readonly why: string }
  /** It said something that is no answer. */
  | { readonly kind: 'garbage'; readonly why: string }
  /** There was nobody to speak to, or not whom the certificate should name. */
  | { readonly kind: 'unreachable'; readonly why: string }
);

type Outcome = { readonly kind: Exclude<Came['kind'], 'answer'>; readonly why: string } | AnswerHead;

/** What comes after an answer's head is dropped, and past this the connection with it. */
const MOST_DROPPED_BYTES = 65_536;
const LINGER_MS = 300;
/** What OpenSSL says of bytes that are none of TLS's. */
const NO_TLS: readonly string[] = [
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'EPROTO',
];

/**
 * Sends one request over a connection of its own, HTTP/1.1 by hand, without ALPN, and takes what comes until the
 * answer's status is known. Never throws; ends by `deadlineMs`.
 */
export function exchange(
  { host, port, ca }: Destination,
  identity: Identity | undefined,
  bytes: Bytes,
  deadlineMs: number,
): Promise<Came> {
  const startedMs = performance.now();
  const options: ConnectionOptions = {
    host,
    port,
    ...(isIP(host) === 0 && { servername: host }),
    ...(ca && { ca }),
    ...(identity && { key: identity.key, cert: identity.certificate }),
  };
  return new Promise((resolve) => {
    const socket = connect(options);
    let isSettled = false;
    const settle = (outcome: Outcome): void => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(deadline);
      linger(socket);
      const ms = performance.now() - startedMs;
      resolve('kind' in outcome ? { ...outcome, ms } : { kind: 'answer', ...outcome, ms });
    };
    const deadline = setTimeout(() => settle({ kind: 'silent', why: 'no answer' }), deadlineMs);
    watch(socket, settle, () => isSettled);
    socket.once('secureConnect', () => write(socket, bytes, () => isSettled));
  });
}

function watch(socket: TLSSocket, settle: (outcome: Outcome) => void, isOver: () => boolean): void {
  let isConnected = false;
  let isSecure = false;
  let received = Buffer.alloc(0);
  const closed = (how: string): void => {
    const where = received.length > 0 ? 'within its answer' : isSecure ? '' : 'in the handshake';
    settle({ kind: 'closed', why: where === '' ? how : `${how} ${where}` });
  };
  socket.once('connect', () => {
    isConnected = true;
  });
  socket.once('secureConnect', () => {
    isSecure = true;
  });
  socket.on('data', (chunk: Buffer) => {
    if (isOver()) return;
    received = Buffer.concat([received, chunk]);
    const head = readAnswerHead(received);
    if (head !== undefined) settle(typeof head === 'string' ? { kind: 'garbage', why: head } : head);
  });
  socket.once('end', () => closed('closed'));
  socket.once('close', () => closed('closed'));
  socket.on('error', (error) => {
    const alert = alertOf(error);
    if (alert !== undefined) settle({ kind: 'alert', why: alert });
    else if (!isConnected) settle({ kind: 'unreachable', why: failureInWords(error) });
    else if (isReset(error)) closed('reset');
    else if (isSecure) closed('closed');
    else if (NO_TLS.includes(codeOf(error))) settle({ kind: 'garbage', why: 'no TLS' });
    // Whoever answers, it is not the receiver that was named.
    else settle({ kind: 'unreachable', why: failureInWords(error) });
  });
}

function isReset(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'ECONNABORTED'].includes(codeOf(error));
}

/** Writes the request piece by piece, no faster than it is taken, until it is out or nobody waits for it any more. */
function write(socket: TLSSocket, { head, body, pauseMs }: Bytes, isOver: () => boolean): void {
  const pieces = [head, ...body];
  const next = (place: number): void => {
    const piece = pieces[place];
    if (piece === undefined || isOver() || !socket.writable) return;
    const goOn = (): void => {
      if (pauseMs > 0) setTimeout(next, pauseMs, place + 1).unref();
      else next(place + 1);
    };
    if (socket.write(piece)) goOn();
    else socket.once('drain', goOn);
  };
  next(0);
}

/** Ends the connection as a good client does, but does not wait long for a receiver that goes on. */
function linger(socket: TLSSocket): void {
  let dropped = 0;
  socket.on('data', (chunk: Buffer) => {
    dropped += chunk.length;
    if (dropped > MOST_DROPPED_BYTES) socket.destroy();
  });
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.end();
}
