import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import tls from 'node:tls';
import { Webhook } from 'svix';
import { defaults, type Identity } from './ca.ts';
import type { Gateway } from './gateway.ts';
import { type Answer, ResponseReader } from './response.ts';

export type { Answer } from './response.ts';

export interface ConnectOptions {
  /** `none`: present no certificate. Default: the process's default client. */
  readonly identity?: Identity | 'none';
  /** The address to connect to. */
  readonly to?: string;
  /** The address to come from, as 127.0.0.2. */
  readonly from?: string;
  readonly tls?: tls.ConnectionOptions;
}

/** One TLS connection to a gateway, on which bytes are written as they are. */
export interface Connection {
  readonly socket: tls.TLSSocket;
  send(bytes: string | Buffer): void;
  /** The next answer on this connection. Throws when the connection ends before it is whole. */
  answer(options?: { toHead?: boolean }): Promise<Answer>;
  /** Resolves with all bytes that no answer took, as latin1, once the gateway has ended the connection. */
  closed(): Promise<string>;
  /** Resolves with the next interim status (100) before any final answer. */
  interim(): Promise<number>;
  /** The interim statuses that came and that nobody asked for. */
  interims(): readonly number[];
  /** The session that can be resumed, as it was last given. */
  session(): Buffer | undefined;
  close(): void;
}

const open = new Set<tls.TLSSocket>();

/** Ends every connection that a test left open. */
export function closeAllSenders(): void {
  for (const socket of open) socket.destroy();
}

/** Connects and finishes the handshake; throws the TLS error where that fails. */
export async function connect(gateway: Gateway, options: ConnectOptions = {}): Promise<Connection> {
  const { authority, client } = await defaults();
  const identity = options.identity ?? client;
  const socket = tls.connect({
    host: options.to ?? '127.0.0.1',
    port: gateway.port,
    servername: 'localhost',
    ca: authority.certificate,
    ...(identity === 'none' ? {} : { cert: identity.certificate, key: identity.key }),
    ...(options.from === undefined ? {} : { localAddress: options.from }),
    ...options.tls,
  });
  open.add(socket);
  socket.once('close', () => open.delete(socket));
  const reader = new ResponseReader(socket);
  // Before the handshake ends: in TLS 1.3 tickets may come with its end.
  let session: Buffer | undefined;
  socket.on('session', (given: Buffer) => {
    session = given;
  });
  await once(socket, 'secureConnect');
  return {
    socket,
    send: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    answer: (how) => reader.next(how?.toHead ?? false),
    interim: () => reader.interim(),
    interims: () => reader.interims(),
    session: () => session,
    closed: () => reader.closed(),
    close: () => void socket.destroy(),
  };
}

export interface Signing {
  readonly secret: string;
  readonly id?: string;
  readonly timestampS?: number;
  readonly family?: 'webhook' | 'svix';
}

export interface RequestOptions {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  /** Name and value pairs, sent in this order and spelling. */
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string | Buffer;
  readonly sign?: Signing;
  /** Send chunked, in pieces of this many bytes, instead of with a Content-Length. */
  readonly chunkBytes?: number;
}

/** The three signature headers of an event, by `svix`. */
export function signatureHeaders(body: string | Buffer, signing: Signing): [string, string][] {
  const id = signing.id ?? `msg_${randomUUID().replaceAll('-', '')}`;
  const seconds = signing.timestampS ?? Math.floor(Date.now() / 1000);
  const signature = new Webhook(signing.secret).sign(id, new Date(seconds * 1000), body.toString());
  const family = signing.family ?? 'webhook';
  return [
    [`${family}-id`, id],
    [`${family}-timestamp`, String(seconds)],
    [`${family}-signature`, signature],
  ];
}

/** One whole request as bytes. */
export function requestBytes(options: RequestOptions = {}): Buffer {
  const body = Buffer.from(options.body ?? '');
  const headers: (readonly [string, string])[] = [
    ['Host', options.host ?? 'localhost'],
    ...(options.headers ?? []),
  ];
  if (options.sign !== undefined) headers.push(...signatureHeaders(options.body ?? '', options.sign));
  const method = options.method ?? 'POST';
  if (options.chunkBytes !== undefined) headers.push(['Transfer-Encoding', 'chunked']);
  else if (options.body !== undefined || method === 'POST')
    headers.push(['Content-Length', String(body.length)]);
  const head = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const payload = options.chunkBytes === undefined ? body : chunked(body, options.chunkBytes);
  return Buffer.concat([
    Buffer.from(`${method} ${options.path ?? '/'} HTTP/1.1\r\n${head}\r\n`, 'latin1'),
    payload,
  ]);
}

function chunked(body: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const piece = body.subarray(at, at + size);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}

/** Sends one request, on `options.on` or on a connection of its own, and resolves with the answer. */
export async function post(
  gateway: Gateway,
  options: RequestOptions & ConnectOptions & { readonly on?: Connection } = {},
): Promise<Answer> {
  const connection = options.on ?? (await connect(gateway, options));
  // The record never holds a body: anything long enough to be told from other text is searched for in the log.
  if (options.body !== undefined && options.body.length >= 24 && options.body.length < 65_536) {
    gateway.secret(options.body.toString());
  }
  connection.send(requestBytes(options));
  const answer = await connection.answer({ toHead: options.method === 'HEAD' });
  if (options.on === undefined) connection.close();
  return answer;
}
