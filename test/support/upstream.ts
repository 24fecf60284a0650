import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { afterAll } from './ending.ts';
import { waitFor } from './wait.ts';

/** One request as the internal service saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  /** Complete only once the request is listed in `requests`. */
  readonly body: Buffer;
  /** The subject's common name of the client certificate, over mutual TLS. */
  readonly clientName: string | undefined;
}

/** Answers a request; the body may still be arriving when `early` is set. */
export type Answer = (request: SeenRequest, response: http.ServerResponse, raw: http.IncomingMessage) => void;

export interface UpstreamOptions {
  readonly answer?: Answer;
  readonly socketPath?: string;
  readonly tls?: https.ServerOptions;
  /** Call `answer` at the head, before the body has been read. */
  readonly early?: boolean;
}

/** A recording internal service. */
export interface Upstream {
  /** `http://127.0.0.1:PORT`, `https://…` or `http+unix:PATH`. */
  readonly url: string;
  readonly authority: string;
  /** Whole requests, in the order in which they were complete. */
  readonly requests: SeenRequest[];
  /** Heads that arrived, whether or not their body did. */
  readonly heads: () => number;
  /** Answers all that follow; without an argument, the first way again. */
  answer(how?: Answer): void;
  /** Resolves with the request that matches, already there or to come. */
  request(matches: (request: SeenRequest) => boolean): Promise<SeenRequest>;
  close(): Promise<void>;
}

const open = new Set<() => Promise<void>>();
afterAll(async () => {
  await Promise.all([...open].map((close) => close()));
});

const acknowledge: Answer = (_request, response) => {
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.end('accepted');
};

/** Starts a recording upstream on a free port of 127.0.0.1, or on a unix socket. */
export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const requests: SeenRequest[] = [];
  const waiting = new Set<() => void>();
  let heads = 0;
  const first = options.answer ?? acknowledge;
  let answer = first;

  const listener: http.RequestListener = (raw, response) => {
    heads += 1;
    for (const look of waiting) look();
    const chunks: Buffer[] = [];
    const seen = (): SeenRequest => ({
      method: raw.method ?? '',
      target: raw.url ?? '',
      rawHeaders: raw.rawHeaders,
      body: Buffer.concat(chunks),
      clientName: clientNameOf(raw),
    });
    // An aborted request is told apart by never being complete.
    raw.on('error', () => undefined);
    response.on('error', () => undefined);
    if (options.early) {
      answer(seen(), response, raw);
      return;
    }
    raw.on('data', (chunk: Buffer) => chunks.push(chunk));
    raw.on('end', () => {
      const request = seen();
      requests.push(request);
      for (const look of waiting) look();
      answer(request, response, raw);
    });
  };

  const settings = { keepAliveTimeout: 60_000 };
  const server = options.tls
    ? https.createServer({ ...options.tls, ...settings }, listener)
    : http.createServer(settings, listener);
  await listen(server, options.socketPath);
  const authority = options.socketPath === undefined ? `127.0.0.1:${portOf(server)}` : 'localhost';
  const close = closeOnce(server, () => server.closeAllConnections());

  return {
    url:
      options.socketPath === undefined
        ? `http${options.tls ? 's' : ''}://${authority}`
        : `http+unix:${options.socketPath}`,
    authority,
    requests,
    heads: () => heads,
    answer: (how) => {
      answer = how ?? first;
    },
    request: (matches) =>
      waitFor(
        waiting,
        () => requests.find(matches),
        () => 'no such request reached the upstream',
      ),
    close,
  };
}

/** One connection to the raw upstream. */
export interface RawConnection {
  readonly socket: net.Socket;
  /** All bytes so far, as latin1. */
  text(): string;
  /** Resolves once the bytes so far match. */
  until(pattern: RegExp): Promise<string>;
  readonly closed: Promise<void>;
}

/** An upstream that speaks bytes, for answers that no HTTP server would give. */
export interface RawUpstream {
  readonly url: string;
  readonly connections: RawConnection[];
  /** Every byte of every connection, in order of the connections. */
  text(): string;
  handle(how: (connection: RawConnection) => void): void;
  connection(place: number): Promise<RawConnection>;
  close(): Promise<void>;
}

/** Starts an upstream that records exact bytes and whose answers are written by hand. */
export async function startRawUpstream(): Promise<RawUpstream> {
  const connections: RawConnection[] = [];
  const waiting = new Set<() => void>();
  const sockets = new Set<net.Socket>();
  let handle: (connection: RawConnection) => void = () => undefined;
  const server = net.createServer((socket) => {
    const chunks: Buffer[] = [];
    const look = new Set<() => void>();
    const text = (): string => Buffer.concat(chunks).toString('latin1');
    const connection: RawConnection = {
      socket,
      text,
      until: (pattern) =>
        waitFor(
          look,
          () => (pattern.test(text()) ? text() : undefined),
          () => `no ${pattern} in ${text()}`,
        ),
      closed: new Promise((resolve) => socket.once('close', () => resolve())),
    };
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      for (const check of look) check();
    });
    connections.push(connection);
    for (const check of waiting) check();
    handle(connection);
  });
  await listen(server, undefined);
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    connections,
    text: () => connections.map((connection) => connection.text()).join(''),
    handle: (how) => {
      handle = how;
    },
    connection: (place) =>
      waitFor(
        waiting,
        () => connections[place],
        () => `no connection ${place}`,
      ),
    close: closeOnce(server, () => {
      for (const socket of sockets) socket.destroy();
    }),
  };
}

/** A port of 127.0.0.1 on which nothing listens. */
export async function unusedPort(): Promise<number> {
  const server = net.createServer();
  await listen(server, undefined);
  const port = portOf(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The value of a header that must occur at most once. */
export function headerOf(request: SeenRequest, name: string): string | undefined {
  const values = headersOf(request, name);
  if (values.length > 1) throw new Error(`${name} occurs ${values.length} times`);
  return values[0];
}

/** All values of a header, in order. */
export function headersOf(request: SeenRequest, name: string): string[] {
  const wanted = name.toLowerCase();
  return request.rawHeaders.filter(
    (_, place) => place % 2 === 1 && request.rawHeaders[place - 1]?.toLowerCase() === wanted,
  );
}

function clientNameOf(raw: http.IncomingMessage): string | undefined {
  if (!('getPeerCertificate' in raw.socket)) return undefined;
  const subject = (raw.socket as import('node:tls').TLSSocket).getPeerCertificate().subject;
  const name = subject?.CN;
  return Array.isArray(name) ? name[0] : name;
}

async function listen(server: net.Server, socketPath: string | undefined): Promise<void> {
  if (socketPath === undefined) server.listen(0, '127.0.0.1');
  else server.listen(socketPath);
  await once(server, 'listening');
}

function portOf(server: net.Server): number {
  return (server.address() as AddressInfo).port;
}

function closeOnce(server: net.Server, drop: () => void): () => Promise<void> {
  const close = async (): Promise<void> => {
    if (!open.delete(close)) return;
    const closed = new Promise((resolve) => server.close(resolve));
    drop();
    await closed;
  };
  open.add(close);
  return close;
}
