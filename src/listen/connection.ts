import { randomUUID } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { BodyBudget } from '../body.ts';
import type { Limits } from '../settings.ts';
import type { BodyStream, Handler, Peer, Refusal, Reply, UnreadHead } from '../types.ts';
import { Exchange, type Line } from './exchange.ts';
import type { ParsedHead } from './head.ts';
import { Inbox } from './inbox.ts';
import { writeAnswer } from './write.ts';

export interface ConnectionOptions {
  readonly handler: Handler;
  readonly peer: Peer;
  readonly budget: BodyBudget;
  readonly limits: Pick<Limits, 'headerTimeout' | 'bodyTimeout' | 'idleTimeout'>;
}

/** What a client may send ahead while a request is under way; then it has to wait. */
const MOST_AHEAD_BYTES = 64 * 1024;
/** A close with unread bytes resets the connection and can lose the answer: so much, or so long, is still read. */
const MOST_LINGER_BYTES = 256 * 1024;
const LINGER_MS = 2000;
/** A sender that does not read its answer for this long is cut. */
const STALL_MS = 30_000;

const NEVER = Number.POSITIVE_INFINITY;

type Phase = 'head' | 'request' | 'dropping' | 'closing';

/**
 * One sender's connection: one request at a time, in order (RFC 9112 section 9.3). A request is either under way in
 * the gateway, or being read, or waiting in the bounded rest of what has arrived.
 */
export class Connection implements Line {
  readonly budget: BodyBudget;
  readonly bodyTimeoutMs: number;
  readonly #socket: TLSSocket;
  readonly #options: ConnectionOptions;
  #phase: Phase = 'head';
  readonly #inbox = new Inbox();
  #exchange: Exchange | undefined;
  #stream: BodyStream | undefined;
  #startedMs: number | undefined;
  #dueMs = NEVER;
  #onDue: () => void = () => undefined;
  #lingered = 0;
  #draining = false;
  #ended = false;

  constructor(socket: TLSSocket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.budget = options.budget;
    this.bodyTimeoutMs = options.limits.bodyTimeout;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#closed());
    socket.on('error', () => socket.destroy());
    socket.on('drain', () => this.#drained());
    socket.on('finish', () => this.due(performance.now() + LINGER_MS, () => this.destroy()));
    this.due(performance.now() + options.limits.idleTimeout, () => this.#close());
  }

  /** Acts on whatever is overdue; called by the listener's one sweep. */
  sweep(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    this.#dueMs = NEVER;
    this.#onDue();
  }

  /** The process is about to end: closes now if nothing is under way, else after the answer. */
  drain(): void {
    this.#draining = true;
    if (this.#phase === 'head' && this.#startedMs === undefined) this.#close();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  take(use: (bytes: Buffer) => number): void {
    this.#inbox.take(use);
  }

  sendContinue(): void {
    this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
  }

  due(atMs: number, timeout: () => void): void {
    this.#dueMs = atMs;
    this.#onDue = timeout;
  }

  wanted(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  #receive(chunk: Buffer): void {
    if (this.#phase === 'closing') {
      this.#lingered += chunk.length;
      if (this.#lingered > MOST_LINGER_BYTES) this.#socket.destroy();
      return;
    }
    this.#inbox.add(chunk);
    if (this.#phase === 'head') this.#readHead();
    else if (this.#phase === 'dropping') this.#drop();
    else if (this.#exchange?.isReading) this.take((bytes) => this.#exchange?.push(bytes) ?? 0);
    else if (this.#inbox.size > MOST_AHEAD_BYTES) this.#socket.pause();
  }

  #readHead(): void {
    const startedMs = this.#startedMs ?? performance.now();
    if (this.#startedMs === undefined) {
      this.#startedMs = startedMs;
      this.due(startedMs + this.#options.limits.headerTimeout, () =>
        this.#refuse({ reason: 'body.timeout', detail: 'head' }),
      );
    }
    const parsed = this.#inbox.takeHead();
    if (parsed === undefined) return;
    if ('reason' in parsed) this.#refuse(parsed);
    else this.#begin(parsed, startedMs);
  }

  #begin(parsed: ParsedHead, startedMs: number): void {
    const { handler, peer } = this.#options;
    const exchange = new Exchange(parsed, this);
    this.#exchange = exchange;
    this.#phase = 'request';
    this.#dueMs = NEVER;
    const { request, refusal } = parsed;
    if (refusal !== undefined) {
      const { method, path } = request;
      this.#answer(exchange, handler.refuseUnread(refusal, { peer, startedMs, method, path }));
      return;
    }
    const head = { ...request, id: randomUUID(), peer, startedMs, epochMs: Date.now() };
    handler.handle(head, exchange).then((reply) => this.#answer(exchange, reply));
  }

  /** A head that is no request: answered, and the end, since nobody knows where the next one would begin. */
  #refuse(refusal: Refusal): void {
    const unread: UnreadHead = { peer: this.#options.peer, startedMs: this.#startedMs ?? performance.now() };
    const reply = this.#options.handler.refuseUnread(refusal, unread);
    if (reply === undefined) {
      this.destroy();
      return;
    }
    this.#phase = 'closing';
    const nothing = () => undefined;
    const done = () => this.#close();
    writeAnswer(this.#socket, reply, { method: 'GET', close: true, flowing: nothing, done, failed: nothing });
  }

  #answer(exchange: Exchange, reply: Reply | undefined): void {
    exchange.onGone = undefined;
    if (reply === undefined || this.#socket.destroyed) {
      exchange.discard(reply);
      this.destroy();
      return;
    }
    const keep = exchange.bodyDone || exchange.mayDrop;
    const close = reply.close || exchange.head.wantsClose || this.#draining || this.#ended || !keep;
    this.#stream = reply.body === undefined || Buffer.isBuffer(reply.body) ? undefined : reply.body;
    writeAnswer(this.#socket, reply, {
      method: exchange.head.request.method,
      close,
      flowing: (isFlowing) =>
        this.due(isFlowing ? NEVER : performance.now() + STALL_MS, () => this.destroy()),
      done: () => {
        this.#stream = undefined;
        this.#after(close);
      },
      failed: () => {
        this.#stream = undefined;
        this.destroy();
      },
    });
  }

  /** The answer is written: drop what is left of the request, then the next one, or the end. */
  #after(close: boolean): void {
    if (close) {
      this.#close();
      return;
    }
    if (this.#socket.writableNeedDrain) {
      this.due(performance.now() + STALL_MS, () => this.destroy());
      return;
    }
    if (this.#exchange?.bodyDone) {
      this.#next();
      return;
    }
    this.#phase = 'dropping';
    this.due(performance.now() + this.bodyTimeoutMs, () => this.#close());
    this.wanted();
    this.#drop();
  }

  #drop(): void {
    const exchange = this.#exchange;
    let used = 0;
    this.#inbox.take((bytes) => {
      used = exchange?.drop(bytes) ?? 0;
      return Math.max(used, 0);
    });
    if (used < 0) this.#close();
    else if (exchange?.bodyDone) this.#next();
  }

  #next(): void {
    this.#exchange = undefined;
    this.#phase = 'head';
    this.#startedMs = undefined;
    if (this.#draining || this.#ended) {
      this.#close();
      return;
    }
    this.due(performance.now() + this.#options.limits.idleTimeout, () => this.#close());
    this.wanted();
    // Not at once: a client that sends many requests ahead must not fill the stack, nor keep others waiting.
    if (this.#inbox.size > 0)
      setImmediate(() => this.#phase === 'head' && this.#inbox.size > 0 && this.#readHead());
  }

  #drained(): void {
    if (this.#stream !== undefined) {
      this.#dueMs = NEVER;
      this.#stream.resume();
    } else if (this.#phase === 'request' && this.#exchange !== undefined && this.#dueMs !== NEVER) {
      this.#after(false);
    }
  }

  #close(): void {
    this.#phase = 'closing';
    this.#inbox.clear();
    this.#socket.end();
    this.wanted();
    // The answer may still wait for a slow reader; the short time begins when the last of it has been sent.
    this.due(performance.now() + STALL_MS, () => this.destroy());
  }

  /** The sender has said all it will say. */
  #end(): void {
    this.#ended = true;
    if (this.#phase === 'request') this.#exchange?.gone();
    else if (this.#phase === 'closing') this.#socket.end();
    else this.destroy();
  }

  #closed(): void {
    this.#dueMs = NEVER;
    this.#exchange?.gone();
    this.#stream?.cancel();
    this.#stream = undefined;
  }
}
