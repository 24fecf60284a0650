import { createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';

/** What one part of a receiver does; a test puts another in its place. */
export interface Parts {
  readonly isRightPath: (path: string) => boolean;
  /** The status of what is for another path. */
  readonly elsewhere: () => number;
  readonly isAuthorized: (value: string | undefined) => boolean;
  readonly isTrusted: (socket: TLSSocket) => boolean;
  readonly readBody: (request: IncomingMessage) => Promise<Buffer>;
  /** What of the body is verified. */
  readonly signedBody: (body: Buffer) => Buffer | string;
  readonly isFresh: (timestamp: string) => boolean;
  readonly isIdGood: (id: string) => boolean;
  readonly field: (request: IncomingMessage, name: string) => string | undefined;
  /** Which of the signatures are looked at. */
  readonly candidates: (header: string) => readonly string[];
  readonly isEqual: (given: string, expected: string) => boolean;
  readonly verify: (request: IncomingMessage, body: Buffer) => boolean;
  /** The status of an event that is good, by how often its id has come. */
  readonly acknowledge: (turn: number, body: Buffer) => number | Promise<number>;
  /** The status of one that is not. */
  readonly refuse: () => number;
}

export interface CarefulOptions {
  readonly tls: ServerOptions;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly secrets: readonly string[];
  readonly flaw?: (careful: Parts) => Partial<Parts>;
}

/** A receiver as somebody else might have written it, over node:https, that does all as is right but for its flaw. */
export async function startCareful(
  options: CarefulOptions,
): Promise<{ url: string; close(): Promise<void> }> {
  const parts = { ...carefulParts(options) };
  Object.assign(parts, options.flaw?.({ ...parts }));
  const turns = new Map<string, number>();
  const server = createServer(options.tls, (request, response) => {
    answer(request, parts, turns).then(
      (status) => end(response, status),
      () => end(response, 400),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}${options.path}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answer(request: IncomingMessage, parts: Parts, turns: Map<string, number>): Promise<number> {
  const body = await parts.readBody(request);
  if (!parts.isTrusted(request.socket as TLSSocket)) return 403;
  if (!parts.isRightPath(request.url ?? '')) return parts.elsewhere();
  if (request.method !== 'POST') return 405;
  if (!parts.isAuthorized(request.headers.authorization)) return parts.refuse();
  if (!parts.verify(request, body)) return parts.refuse();
  const id = parts.field(request, 'webhook-id') ?? '';
  const turn = (turns.get(id) ?? 0) + 1;
  turns.set(id, turn);
  return parts.acknowledge(turn, body);
}

function carefulParts({ path, authorization, secrets }: CarefulOptions): Parts {
  const parts: Parts = {
    isRightPath: (given) => given === path,
    elsewhere: () => 404,
    isAuthorized: (value) => authorization === undefined || value === authorization,
    isTrusted: (socket) => socket.authorized,
    readBody: (request) => buffer(request),
    signedBody: (body) => body,
    isFresh: (timestamp) => /^\d+$/.test(timestamp) && Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300,
    isIdGood: (id) => /^[\w-]+$/.test(id),
    field: (request, name) => {
      const value = request.headers[name];
      return typeof value === 'string' ? value : undefined;
    },
    candidates: (header) => header.split(' '),
    isEqual: (given, expected) =>
      given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected)),
    verify(request, body) {
      const [id, timestamp, signature] = ['id', 'timestamp', 'signature'].map((part) =>
        this.field(request, `webhook-${part}`),
      );
      if (id === undefined || timestamp === undefined || signature === undefined) return false;
      const other = this.field(request, 'svix-id');
      if (other !== undefined && other !== id) return false;
      if (!this.isIdGood(id) || !this.isFresh(timestamp)) return false;
      const expected = secrets.map((secret) => {
        const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
        const digest = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(this.signedBody(body));
        return `v1,${digest.digest('base64')}`;
      });
      return this.candidates(signature).some((one) => expected.some((right) => this.isEqual(one, right)));
    },
    acknowledge: () => 204,
    refuse: () => 401,
  };
  return parts;
}

function end(response: ServerResponse, status: number): void {
  response.writeHead(status);
  response.end();
}
