import type { Dispatcher } from 'undici';
import { type Fields, flatFields } from '../fields.ts';
import type { BodySink, BodyStream, Refusal, Settlement, UpstreamAnswer } from '../types.ts';
import { Attempts, type Sending } from './attempts.ts';
import type { Exchange, Outgoing } from './exchange.ts';
import { FLOODED, faultOf, MOST_INTERIM, RESET, STALL_MS, STALLED } from './fault.ts';
import type { Upstream } from './upstream.ts';

/** Answers up to this size are held whole and go out in one write; larger ones flow with back-pressure. */
const HELD_BYTES = 64 * 1024;

/**
 * Sends one request, once. The answer is waited for `timeoutMs`; after that the sender is told `upstream.timeout`, and
 * an exchange that may run on is watched for its status line, so that a slow success is not delivered again.
 */
export function forward(upstream: Upstream, outgoing: Outgoing): Exchange {
  const handler = new ForwardHandler(upstream, outgoing);
  handler.enter();
  return handler;
}

type Phase = 'waiting' | 'holding' | 'flowing' | 'discarding' | 'done';

class ForwardHandler implements Exchange, Sending, BodyStream {
  readonly answer: Promise<UpstreamAnswer | Refusal>;
  readonly #outgoing: Outgoing;
  readonly #attempts: Attempts;
  readonly #resolve: (answer: UpstreamAnswer | Refusal) => void;
  #phase: Phase = 'waiting';
  #controller: Dispatcher.DispatchController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #answered = false;
  #settled = false;
  #interims = 0;
  #status = 0;
  #headers: Fields = [];
  #held: Buffer[] = [];
  #heldBytes = 0;
  #sink: BodySink | undefined;
  #failed: Refusal | undefined;
  #ended = false;

  constructor(upstream: Upstream, outgoing: Outgoing) {
    const { promise, resolve } = Promise.withResolvers<UpstreamAnswer | Refusal>();
    this.answer = promise;
    this.#resolve = resolve;
    this.#outgoing = outgoing;
    this.#attempts = new Attempts(upstream, outgoing, this);
  }

  get target(): string | undefined {
    return this.#attempts.target;
  }

  get isSent(): boolean {
    return this.#controller !== undefined;
  }

  get isOver(): boolean {
    return this.#phase === 'done';
  }

  enter(): void {
    this.#timer = setTimeout(() => this.giveUp(this.#timeout()), Math.max(this.#outgoing.timeoutMs, 0));
    this.#attempts.enter();
  }

  refuse(refusal: Refusal): void {
    this.#answer(refusal);
    this.#settle(refusal);
    this.#done();
  }

  giveUp(refusal: Refusal): void {
    if (this.#answered) return;
    this.#answer(refusal);
    if (!this.isSent || this.#settled || this.#outgoing.lateMs === 0) {
      // Nothing of a request that still waits for its turn has been sent, so nothing can come of it later.
      this.#settle(refusal);
      this.#attempts.leave();
      this.#end();
    } else {
      this.#timer = setTimeout(() => this.#end(), this.#outgoing.lateMs);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#phase === 'done') controller.abort(new Error('given up before it was sent'));
    else this.#controller = controller;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, unknown>,
  ): void {
    if (status < 200) {
      this.#interims += 1;
      if (this.#interims > MOST_INTERIM) controller.abort(FLOODED);
      return;
    }
    this.#settle({ status });
    this.#status = status;
    this.#headers = flatFields(headers);
    if (this.#answered) {
      this.#discard();
    } else if (!this.#outgoing.wantsBody(status)) {
      this.#answer({ status, headers: this.#headers, body: undefined });
      this.#discard();
    } else {
      this.#phase = 'holding';
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#phase === 'flowing' && this.#sink !== undefined) {
      this.#timer?.refresh();
      if (!this.#sink.write(chunk)) this.#pause(controller);
      return;
    }
    this.#heldBytes += chunk.length;
    if (this.#phase === 'discarding') {
      if (this.#heldBytes > HELD_BYTES) this.#end();
      return;
    }
    this.#held.push(chunk);
    if (this.#heldBytes > HELD_BYTES && this.#phase === 'holding') {
      this.#pause(controller);
      this.#phase = 'flowing';
      this.#answer({ status: this.#status, headers: this.#headers, body: this });
    }
  }

  onResponseEnd(): void {
    if (this.#attempts.hasFailed) {
      this.#fail(RESET);
      return;
    }
    this.#ended = true;
    if (this.#phase === 'flowing') this.#sink?.end();
    else if (this.#phase === 'holding') {
      const body = this.#held.length === 1 ? this.#held[0] : Buffer.concat(this.#held);
      this.#answer({ status: this.#status, headers: this.#headers, body });
    }
    this.#done();
    this.#attempts.free();
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#controller !== undefined || this.#phase === 'done') {
      this.#fail(faultOf(error));
      return;
    }
    const detail = this.#attempts.next(error);
    if (detail !== undefined) this.#fail({ reason: 'upstream.unreachable', detail });
  }

  #fail(fault: Refusal): void {
    const flowing = this.#phase === 'flowing';
    this.#answer(fault);
    this.#settle(fault);
    this.#done();
    this.#failed = fault;
    // Not at once: undici is about to look whether anything is left to be sent on this connection.
    queueMicrotask(() => this.#attempts.free());
    if (flowing) this.#sink?.fail(fault);
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    if (this.#failed !== undefined) {
      sink.fail(this.#failed);
      return;
    }
    for (const chunk of this.#held) sink.write(chunk);
    this.#held = [];
    if (this.#ended) sink.end();
    else this.resume();
  }

  resume(): void {
    if (this.#phase !== 'flowing') return;
    this.#watch();
    this.#controller?.resume();
  }

  cancel(): void {
    this.#end();
  }

  /** A sender that reads slowly is not the upstream's silence. */
  #pause(controller: Dispatcher.DispatchController): void {
    clearTimeout(this.#timer);
    controller.pause();
  }

  /** Nobody waits for the rest any more, but its end leaves the connection fit for the next request. */
  #discard(): void {
    this.#phase = 'discarding';
    this.#watch();
  }

  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller?.abort(STALLED), STALL_MS);
  }

  /** Cuts the exchange off, and with it the connection it runs on. */
  #end(): void {
    const { aborted } = this.#controller ?? { aborted: true };
    this.#done();
    this.#settle({ reason: 'upstream.timeout', detail: 'no answer within the time an exchange may run on' });
    if (!aborted) this.#controller?.abort(new Error('given up'));
  }

  #answer(answer: UpstreamAnswer | Refusal): void {
    if (this.#answered) return;
    this.#answered = true;
    clearTimeout(this.#timer);
    this.#resolve(answer);
  }

  #settle(settlement: Settlement): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#outgoing.settled(settlement);
  }

  #timeout(): Refusal {
    const reason = 'upstream.timeout';
    return this.#controller === undefined ? { reason, detail: this.#attempts.unsent } : { reason };
  }

  #done(): void {
    this.#phase = 'done';
    clearTimeout(this.#timer);
  }
}
