import type { Dispatcher } from 'undici';
import { type Fields, flatFields } from '../fields.ts';
import type { BodySink, BodyStream, Refusal, Settlement, UpstreamAnswer } from '../types.ts';
import { faultOf, RESET, STALL_MS, STALLED } from './fault.ts';
import type { Connection, Connections, Waiter } from './upstream.ts';

/** Answers up to this size are held whole and go out in one write; larger ones flow with back-pressure. */
const HELD_BYTES = 64 * 1024;

export interface Outgoing {
  readonly method: string;
  readonly path: string;
  readonly headers: Fields;
  readonly body: Buffer;
  /** How long the answer may take from now. */
  readonly timeoutMs: number;
  /** How long the exchange runs on after `timeoutMs`; 0: it ends there. */
  readonly lateMs: number;
  /** Whether the sender will see the body of an answer with this status. */
  readonly wantsBody: (status: number) => boolean;
  /** Called once, when it is known what became of the delivery. */
  readonly settled: (settlement: Settlement) => void;
}

export interface Exchange {
  /** The answer, or the fault that the sender is told. Never rejects. */
  readonly answer: Promise<UpstreamAnswer | Refusal>;
  /** Ends the wait for the answer; the exchange itself ends too, unless it may run on. */
  giveUp(refusal: Refusal): void;
}

/**
 * Sends one request, once. The answer is waited for `timeoutMs`; after that the sender is told `upstream.timeout`, and
 * an exchange that may run on is watched for its status line, so that a slow success is not delivered again.
 */
export function forward(connections: Connections, outgoing: Outgoing): Exchange {
  const answer = Promise.withResolvers<UpstreamAnswer | Refusal>();
  const handler = new ForwardHandler(connections, outgoing, answer.resolve);
  connections.enter(handler);
  return { answer: answer.promise, giveUp: (refusal) => handler.giveUp(refusal) };
}

type Phase = 'waiting' | 'holding' | 'flowing' | 'discarding' | 'done';

class ForwardHandler implements Dispatcher.DispatchHandler, BodyStream, Waiter {
  readonly #connections: Connections;
  readonly #outgoing: Outgoing;
  readonly #resolve: (answer: UpstreamAnswer | Refusal) => void;
  #phase: Phase = 'waiting';
  #controller: Dispatcher.DispatchController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #answered = false;
  #settled = false;
  #status = 0;
  #headers: Fields = [];
  #held: Buffer[] = [];
  #heldBytes = 0;
  #sink: BodySink | undefined;
  #failed: Refusal | undefined;
  #ended = false;
  #connection: Connection | undefined;

  constructor(
    connections: Connections,
    outgoing: Outgoing,
    resolve: (answer: UpstreamAnswer | Refusal) => void,
  ) {
    this.#connections = connections;
    this.#outgoing = outgoing;
    this.#resolve = resolve;
    this.#timer = setTimeout(
      () => this.giveUp({ reason: 'upstream.timeout' }),
      Math.max(outgoing.timeoutMs, 0),
    );
  }

  send(connection: Connection): void {
    this.#connection = connection;
    const { method, path, headers, body } = this.#outgoing;
    const options: Dispatcher.DispatchOptions = {
      method: method as Dispatcher.HttpMethod,
      path,
      headers: headers as string[],
      body,
      idempotent: false,
    };
    connection.client.dispatch(options, this);
  }

  giveUp(refusal: Refusal): void {
    if (this.#answered) return;
    this.#answer(refusal);
    const begun = this.#controller !== undefined;
    if (!begun || this.#settled || this.#outgoing.lateMs === 0) {
      // Nothing of a request that still waits for its turn has been sent, so nothing can come of it later.
      this.#settle(refusal);
      this.#connections.leave(this);
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
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, unknown>,
  ): void {
    if (status < 200) return;
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
    if (this.#connection?.hasFailed) {
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
    this.#free();
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.#fail(faultOf(error, this.#controller !== undefined));
  }

  #fail(fault: Refusal): void {
    const flowing = this.#phase === 'flowing';
    this.#answer(fault);
    this.#settle(fault);
    this.#done();
    this.#failed = fault;
    // Not at once: undici is about to look whether anything is left to be sent on this connection.
    queueMicrotask(() => this.#free());
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
    if (!aborted) this.#controller?.abort(new Error('given up'));
    this.#settle({ reason: 'upstream.timeout', detail: 'no answer within the time an exchange may run on' });
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

  /** The connection is another's. */
  #free(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) this.#connections.free(connection);
  }

  #done(): void {
    this.#phase = 'done';
    clearTimeout(this.#timer);
  }
}
