import type { Dispatcher } from 'undici';
import type { Refusal } from '../types.ts';
import type { Connection } from './connection.ts';
import type { Outgoing } from './exchange.ts';
import { describeError } from './fault.ts';
import type { Pool } from './pool.ts';
import type { Upstream } from './upstream.ts';
import type { Place, Waiter } from './waiting.ts';

/** The exchange that a request is sent for. */
export interface Sending extends Dispatcher.DispatchHandler {
  /** Nobody wants it sent any more. */
  readonly isOver: boolean;
  /** It could not be sent: too many wait. */
  refuse(refusal: Refusal): void;
}

/**
 * Content has a meaning with these alone (RFC 9110 section 9.3). A service that does not read it with another method
 * would take it for the next request on its connection, so there it is told that there is none.
 */
const CARRYING: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/**
 * The way of one request to a connection: it goes to one target after the other until one can be connected to, and
 * nowhere else from its first byte on.
 */
export class Attempts implements Waiter {
  place: Place | undefined;
  tried: Pool[] | undefined;
  readonly #upstream: Upstream;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #sending: Sending;
  #connection: Connection | undefined;
  #last: Connection | undefined;
  #errors = '';

  constructor(upstream: Upstream, { method, path, headers, body }: Outgoing, sending: Sending) {
    this.#upstream = upstream;
    this.#sending = sending;
    this.#options = {
      method: method as Dispatcher.HttpMethod,
      path,
      headers: headers as string[],
      body,
      idempotent: false,
      ...(body.length > 0 && !CARRYING.has(method) ? { reset: true } : {}),
    };
  }

  /** The target that it was sent to, or was last to be sent to. */
  get target(): string | undefined {
    return this.#last?.pool.target.name;
  }

  get hasFailed(): boolean {
    return this.#connection?.hasFailed === true;
  }

  /** Why it has not been sent, for the log. */
  get unsent(): string {
    return this.#explain(
      this.#connection === undefined ? 'no connection was free' : `still connecting to ${this.target}`,
    );
  }

  enter(): void {
    this.#upstream.enter(this);
  }

  send(connection: Connection): void {
    this.#connection = connection;
    this.#last = connection;
    if (connection.mayHaveEnded()) setImmediate(() => this.#dispatch());
    else this.#dispatch();
  }

  refuse(refusal: Refusal): void {
    this.#sending.refuse({ ...refusal, detail: this.#explain(refusal.detail) });
  }

  /** Goes on to the next target, after an error before its first byte. @returns why not, where there is no other */
  next(error: Error): string | undefined {
    const pool = this.#connection?.pool;
    if (pool === undefined) return describeError(error);
    this.tried = [...(this.tried ?? []), pool];
    this.#errors = this.#explain(`${pool.target.name}: ${describeError(error)}`);
    if (!this.#upstream.hasUntried(this)) return this.#errors;
    // Not at once: undici is in the middle of its own clearing up.
    queueMicrotask(() => {
      this.free();
      if (!this.#sending.isOver) this.enter();
    });
    return undefined;
  }

  /** Gives up its place in the line, if it stands in one. */
  leave(): void {
    this.#upstream.leave(this);
  }

  /** The connection is another's. */
  free(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) this.#upstream.free(connection);
  }

  /** What happened before belongs to it. */
  #explain(detail: string | undefined): string {
    return this.#errors === '' ? String(detail) : `${this.#errors}; ${detail}`;
  }

  #dispatch(): void {
    if (this.#sending.isOver) this.free();
    else this.#connection?.dispatch(this.#options, this.#sending);
  }
}
