import { once } from 'node:events';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import { performance } from 'node:perf_hooks';
import { failureInWords } from './failure.ts';
import { type Fields, withoutField, writeFields } from './fields.ts';
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
  /** What the sender says of the event. */
  readonly event: Fields;
  /** What was set by hand; wins over the sender's own. */
  readonly custom: Fields;
  readonly body: Buffer;
  readonly agent: Agent;
  /** Covers the whole request: handshake, redirects, the answer's status. */
  readonly deadlineMs: number;
  readonly followRedirects: boolean;
  /** Whether the same bytes are sent once more where the connection broke soon. */
  readonly resendAtOnce: boolean;
}

/**
 * What Svix takes for the receiver's closing an idle connection just then: it repeats the request, to the byte, once
 * (`execute_inner` in server/svix-server/src/core/webhook_http_client.rs).
 */
const RESEND_WITHIN_MS = 1_000;
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
  const startedMs = performance.now();
  const first = await postOnce(attempt);
  const broke = first.broken === 'connection' && performance.now() - startedMs < RESEND_WITHIN_MS;
  if (!broke || !attempt.resendAtOnce) return first;
  return { ...(await postOnce(attempt)), resentAfter: first.error };
}

async function postOnce(attempt: Post): Promise<Outcome> {
  const signal = AbortSignal.timeout(attempt.deadlineMs);
  let { url, custom } = attempt;
  try {
    for (let redirects = 0; ; redirects++) {
      const answer = await exchange({ ...attempt, url, custom }, signal);
      const target =
        attempt.followRedirects && redirects < MAX_REDIRECTS ? redirectTarget(answer, url) : undefined;
      if (!target) return outcomeOf(answer, redirects);
      // A credential meant for one host is not handed to whatever host it redirects to.
      if (target.origin !== url.origin) custom = withoutField(custom, 'authorization');
      url = target;
    }
  } catch (error) {
    return signal.aborted
      ? { broken: 'deadline', error: `no answer within ${formatDuration(attempt.deadlineMs)}` }
      : { broken: 'connection', error: failureInWords(error) };
  }
}

async function exchange(attempt: Post, signal: AbortSignal): Promise<IncomingMessage> {
  const { url, method, agent, body } = attempt;
  const headers = writeFields(url, attempt.event, attempt.custom, body.length) as OutgoingHttpHeaders;
  const exchange = request(url, { method, headers, agent, signal });
  // HTTP/1.1 keeps connections without a word, and Svix says none.
  exchange.removeHeader('Connection');
  exchange.end(body);
  const [answer] = (await once(exchange, 'response')) as [IncomingMessage];
  // An answer can come while the body is still being written; the connection may break after it.
  exchange.on('error', () => {});
  await readAnswer(answer);
  return answer;
}

/** Reads an answer's body to its end or the bound. It decides nothing: the status has been read, as Svix does it. */
async function readAnswer(answer: IncomingMessage): Promise<void> {
  let bytes = 0;
  answer.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) answer.destroy();
  });
  await once(answer, 'close').catch(() => undefined);
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
