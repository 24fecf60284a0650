import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import type { Outcome } from './rules.ts';
import { formatDuration } from './words.ts';

/** The sender's own key and certificate, PEM. */
export interface Identity {
  readonly key: string | Buffer;
  readonly certificate: string | Buffer;
}

/** One request, as it goes over the wire. */
export interface Post {
  readonly url: URL;
  readonly method: string;
  /** Names in lower case; a list is sent as repeated fields. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: Buffer;
  readonly agent: Agent;
  /** Covers the whole attempt: handshake, answer, redirects. */
  readonly deadlineMs: number;
  readonly followRedirects: boolean;
}

const MAX_REDIRECTS = 10;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
/** An answer's body is read so that the connection can be kept, but never without end. */
const MAX_ANSWER_BYTES = 1 << 20;

/** Connections that are kept between events, as webhook senders keep them: HTTP/1.1, no ALPN. */
export function makeAgent(ca: Buffer | undefined, identity: Identity | undefined): Agent {
  return new Agent({
    keepAlive: true,
    // Node would offer http/1.1 by itself; Svix offers nothing, and a gateway must cope with that.
    ALPNProtocols: [],
    ...(ca && { ca }),
    ...(identity && { key: identity.key, cert: identity.certificate }),
  });
}

/** Sends one attempt. Never throws: whatever goes wrong on the way is part of the outcome. */
export async function post(attempt: Post): Promise<Outcome> {
  const signal = AbortSignal.timeout(attempt.deadlineMs);
  let url = attempt.url;
  let headers = attempt.headers;
  try {
    for (let redirects = 0; ; redirects++) {
      const answer = await exchange({ ...attempt, url, headers }, signal);
      const target =
        attempt.followRedirects && redirects < MAX_REDIRECTS ? redirectTarget(answer, url) : undefined;
      if (!target) return outcomeOf(answer, redirects);
      // A credential meant for one host is not handed to whatever host it redirects to.
      if (target.origin !== url.origin) headers = without(headers, 'authorization');
      url = target;
    }
  } catch (error) {
    return {
      error: signal.aborted ? `no answer within ${formatDuration(attempt.deadlineMs)}` : inWords(error),
    };
  }
}

async function exchange(attempt: Post, signal: AbortSignal): Promise<IncomingMessage> {
  const outgoing: OutgoingHttpHeaders = { 'content-length': attempt.body.length };
  for (const [name, value] of Object.entries(attempt.headers))
    outgoing[name] = typeof value === 'string' ? value : [...value];
  const exchange = request(attempt.url, {
    method: attempt.method,
    headers: outgoing,
    agent: attempt.agent,
    signal,
  });
  exchange.end(attempt.body);
  const [answer] = (await once(exchange, 'response')) as [IncomingMessage];
  // An answer can come while the body is still being written; the connection may break after it.
  exchange.on('error', () => {});
  let bytes = 0;
  answer.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) answer.destroy(new Error('the answer has more than 1 MiB'));
  });
  await once(answer, 'end');
  return answer;
}

function redirectTarget(answer: IncomingMessage, from: URL): URL | undefined {
  const { location } = answer.headers;
  if (!location || !REDIRECTS.includes(answer.statusCode ?? 0) || !URL.canParse(location, from))
    return undefined;
  const target = new URL(location, from);
  return target.protocol === 'https:' ? target : undefined;
}

function outcomeOf(answer: IncomingMessage, redirects: number): Outcome {
  return {
    status: answer.statusCode ?? 0,
    retryAfter: answer.headers['retry-after'],
    delivery: single(answer.headers['webhook-delivery']),
    requestId: single(answer.headers['x-request-id']),
    redirects,
  };
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}

function without(headers: Post['headers'], name: string): Post['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name));
}

const CONNECTION_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection closed by the other end',
  EPIPE: 'connection closed by the other end',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name could not be looked up',
  EHOSTUNREACH: 'host cannot be reached',
  ENETUNREACH: 'network cannot be reached',
  CERT_HAS_EXPIRED: "the server's certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "the server's certificate is for another name",
};

const UNTRUSTED: readonly string[] = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
];

function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  // OpenSSL: ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED, ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE, …
  const alert = /_ALERT_(?:NUMBER_)?(\w+)$/.exec(code)?.[1];
  if (alert) return `TLS alert: ${alert.toLowerCase().replaceAll('_', ' ')}`;
  if (UNTRUSTED.includes(code)) return "the server's certificate is not trusted; give its CA with --ca";
  return CONNECTION_WORDS[code] ?? (error.message || code);
}

/** `postern-send/VERSION`, for User-Agent. */
export const USER_AGENT = `postern-send/${readVersion()}`;

function readVersion(): string {
  // As deep below the package's root in src/ as in dist/.
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  );
  return typeof manifest === 'object' && manifest && 'version' in manifest ? String(manifest.version) : '0';
}
