import { randomUUID } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Refusal, Reply } from '../types.ts';
import { Alarm } from './alarm.ts';
import { Exchange } from './exchange.ts';
import { type ParsedHead, recordablePath } from './head.ts';
import { Inbox } from './inbox.ts';
import type { ConnectionOptions, Line } from './line.ts';
import { PROBE_MS, probe } from './probe.ts';
import { AnswerWriter, STALL_MS } from './write.ts';

/** What a client may send ahead while a request is under way; then it has to wait. */
const MOST_AHEAD_BYTES = 64 * 1024;
/** A close with unread bytes resets the connection and can lose the answer (RFC 9112 section 9.6): so much, or so long, is still read. */
const MOST_LINGER_BYTES = 256 * 1024;
const LINGER_MS = 2000;
/** A connection that has just been made is about to carry a request, also when the process is about to end. */
const FIRST_REQUEST_MS = 1000;

/** `written`: the answer is, but the sender has not taken it yet. */
type Phase = 'head' | 'request' | 'written' | 'dropping' | 'closing';

/**
 * One sender's connection: one request at a time, in order (RFC 9112 section 9.3.2). A request is either under way in
 * the gateway, or being read, or waiting in the bounded rest of what has arrived.
 */
export class Connection implements Line {
  readonly inbox = new Inbox();
  readonly alarm = new Alarm();
  hasEnded = false;
  readonly #socket: TLSSocket;
  readonly options: ConnectionOptions;
  #phase: Phase = 'head';
  #exchange: Exchange | undefined;
  readonly #writer: AnswerWriter;
  #startedMs: number | undefined;
  readonly #ask = () => this.sendContinue();
  #lingered = 0;
  #leaving = false;
  #isUsed = false;

  constructor(socket: TLSSocket, options: ConnectionOptions) {
    this.#socket = socket;
    this.options = options;
    this.#writer = new AnswerWriter(socket, this.alarm);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#closed());
    socket.on('error', () => socket.destroy());
    socket.on('drain', () => this.#drained());
    socket.on('finish', () => this.#allow(LINGER_MS));
    this.alarm.set(performance.now() + options.shared.limits.idleTimeout, () => this.#close());
  }

  /** The process is about to end: the answer under way, or else the next one, is the last. */
  leave(): void {
    this.#leaving = true;
  }

  /** No request is waited for any more: closes now if nothing is under way, else after the answer. */
  drain(): void {
    this.leave();
    if (this.#phase !== 'head' || this.#startedMs !== undefined) return;
    if (this.#isUsed) this.#close();
    else this.alarm.set(performance.now() + FIRST_REQUEST_MS, () => this.#close());
  }

  /** Who the client is must be judged anew: closes now unless a request has begun, else after its answer. */
  retire(): void {
    this.leave();
    if (this.#phase === 'head' && this.#startedMs === undefined) this.#close();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  sendContinue(): void {
    this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
  }

  /** The connection is cut if the sender needs longer. */
  #allow(ms: number): void {
    this.alarm.set(performance.now() + ms, () => this.destroy());
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
    this.inbox.add(chunk);
    if (this.#phase === 'head') this.#readHead();
    else if (this.#phase === 'dropping') this.#drop();
    else if (this.#exchange?.isReading) this.#exchange.read();
    else if (this.inbox.size > MOST_AHEAD_BYTES) this.#pause();
  }

  /** From now on neither its next bytes are heard nor its end. */
  #pause(): void {
    this.#socket.pause();
    if (this.#phase === 'request' && this.#exchange?.bodyDone && !this.#writer.isFlowing)
      this.alarm.set(performance.now() + PROBE_MS, () => probe(this.alarm, this.#ask, PROBE_MS));
  }

  #readHead(): void {
    const startedMs = this.#startedMs ?? performance.now();
    if (this.#startedMs === undefined) {
      this.#startedMs = startedMs;
      this.alarm.set(startedMs + this.options.shared.limits.headerTimeout, () =>
        this.#refuse({ reason: 'body.timeout', detail: 'head' }),
      );
    }
    const parsed = this.inbox.takeHead();
    if (parsed === undefined) {
      if (this.hasEnded) this.#close();
      else if (this.options.seat.stage === 'idle') this.options.seat.moveTo('heading', startedMs);
    } else if ('reason' in parsed) this.#refuse(parsed);
    else this.#begin(parsed, startedMs);
  }

  #begin(parsed: ParsedHead, startedMs: number): void {
    const { shared, peer: own, seat } = this.options;
    seat.moveTo('busy', startedMs);
    const exchange = new Exchange(parsed, this);
    this.#exchange = exchange;
    this.#phase = 'request';
    this.#isUsed = true;
    this.alarm.clear();
    const { request } = parsed;
    const resolved = shared.resolvePeer?.(own, request.headers) ?? own;
    const peer = 'reason' in resolved ? own : resolved;
    const refusal = parsed.refusal ?? ('reason' in resolved ? resolved : undefined);
    if (refusal !== undefined) {
      const unread = { peer, startedMs, method: request.method, path: recordablePath(request) };
      this.#answer(exchange, shared.handler.refuseUnread(refusal, unread));
      return;
    }
    const head = { ...request, id: randomUUID(), peer, startedMs, epochMs: Date.now() };
    shared.handler.handle(head, exchange).then((reply) => this.#answer(exchange, reply));
  }

  /** A head that is no request: answered, and the end, since nobody knows where the next one would begin. */
  #refuse(refusal: Refusal): void {
    const { shared, peer } = this.options;
    const startedMs = this.#startedMs ?? performance.now();
    const reply = shared.handler.refuseUnread(refusal, { peer, startedMs });
    this.#phase = 'closing';
    if (reply === undefined) this.destroy();
    else this.#writer.write(reply, { method: 'GET', close: true, done: () => this.#close() });
  }

  #answer(exchange: Exchange, reply: Reply | undefined): void {
    exchange.onGone = undefined;
    this.alarm.clear();
    if (this.#socket.destroyed) {
      exchange.discard(reply);
      return;
    }
    if (reply === undefined) {
      this.#close();
      return;
    }
    const keep = exchange.bodyDone || exchange.mayDrop;
    const close = reply.close || exchange.head.wantsClose || this.#isLast || !keep;
    const { method } = exchange.head.request;
    this.#writer.write(reply, {
      method,
      close,
      done: (isWhole) => (isWhole ? this.#after(close) : this.destroy()),
    });
  }

  /** The answer is written: drop what is left of the request, then the next one, or the end. */
  #after(close: boolean): void {
    if (close) {
      this.#close();
    } else if (this.#socket.writableNeedDrain) {
      this.#phase = 'written';
      this.#allow(STALL_MS);
    } else if (this.#exchange?.bodyDone) {
      this.#next();
    } else {
      this.#phase = 'dropping';
      this.alarm.set(performance.now() + this.options.shared.limits.bodyTimeout, () => this.#close());
      this.wanted();
      this.#drop();
    }
  }

  #drop(): void {
    const exchange = this.#exchange;
    if (exchange?.drop() !== true) this.#close();
    else if (exchange.bodyDone) this.#next();
    else if (this.hasEnded) this.#close();
  }

  #next(): void {
    this.#exchange = undefined;
    this.#phase = 'head';
    this.#startedMs = undefined;
    if (this.#isLast) {
      this.#close();
      return;
    }
    const nowMs = performance.now();
    this.options.seat.moveTo('idle', nowMs);
    this.alarm.set(nowMs + this.options.shared.limits.idleTimeout, () => this.#close());
    this.wanted();
    // Not at once: a client that sends many requests ahead must not fill the stack, nor keep others waiting.
    if (this.inbox.size > 0)
      setImmediate(() => this.#phase === 'head' && this.inbox.size > 0 && this.#readHead());
  }

  #drained(): void {
    if (this.#phase === 'written') this.#after(false);
    else this.#writer.drained();
  }

  #close(): void {
    this.#phase = 'closing';
    this.inbox.clear();
    this.#socket.end();
    this.wanted();
    // The answer may still wait for a slow reader; the short time begins when the last of it has been sent.
    this.#allow(STALL_MS);
  }

  /** No request comes after the one under way. */
  get #isLast(): boolean {
    return this.#leaving || (this.hasEnded && this.inbox.size === 0);
  }

  /** The sender has said all it will say: it may have closed its side only, and read on, or be gone altogether. */
  #end(): void {
    this.hasEnded = true;
    const isNextRead = this.#startedMs !== undefined || this.inbox.size === 0;
    if (this.#phase === 'request') {
      if (!this.#exchange?.bodyDone && !this.#exchange?.mayBeWhole) this.#exchange?.gone();
      else if (!this.#writer.isFlowing) probe(this.alarm, this.#ask);
    } else if (this.#phase === 'dropping' || (this.#phase === 'head' && isNextRead)) {
      // Not destroyed: the last answer may still be on its way.
      this.#close();
    } else if (this.#phase === 'closing') {
      this.#socket.end();
    }
  }

  #closed(): void {
    this.alarm.clear();
    this.#exchange?.gone();
    this.#writer.cancel();
  }
}
