import type { Socket } from 'node:net';
import { Client, type Dispatcher } from 'undici';
import type { Dial } from './dial.ts';
import type { Pool } from './pool.ts';

/** A connection that was idle for longer than this may have been closed by the upstream meanwhile. */
const FRESH_MS = 1;

/** An upstream that ends a connection so soon after its answer should have said so in it. */
const HASTY_MS = 5;

/** One connection to a target, with one request at a time; made when it is needed, and again where it was lost. */
export class Connection {
  readonly pool: Pool;
  readonly #client: Client;
  #socket: Socket | undefined;
  #hasFailed = false;
  #freedMs = 0;

  constructor(pool: Pool, dial: Dial) {
    this.pool = pool;
    this.#client = new Client(pool.target.origin, {
      pipelining: 1,
      allowH2: false,
      connect: (_options, done) => {
        this.#socket = dial((error, socket) => {
          if (socket !== null) this.#opened(socket);
          else if (error !== null) this.pool.failed(this, error);
          (done as (error: Error | null, socket: Socket | null) => void)(error, socket);
        });
      },
      // The exchange keeps its own time: undici's clock ticks twice a second.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(options, handler);
  }

  /** Its socket has failed: an answer that ends now, for want of a length, is not whole. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** Whether it has a socket: without one the next request has to make it. */
  get isOpen(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed;
  }

  /**
   * Whether its end may have arrived and not been read yet: what is sent on it then is lost. After one turn of the
   * event loop it has been read.
   */
  mayHaveEnded(): boolean {
    if (!this.isOpen) return false;
    return this.pool.isHasty || performance.now() - this.#freedMs > FRESH_MS;
  }

  /**
   * Its exchange is over. Where that was answered before all of the request was written, the connection is fit for the
   * next one when the promise resolves: it would wait behind the rest, for ever where the upstream reads no more.
   */
  rest(): Promise<void> | undefined {
    this.#freedMs = performance.now();
    const socket = this.#socket;
    if (socket === undefined || socket.destroyed || socket.writableLength === 0) return undefined;
    return new Promise((resolve) => {
      const done = () => {
        socket.off('close', done);
        resolve();
      };
      socket.once('close', done);
      socket.write('', done);
    });
  }

  /** Lets go of its socket while nobody uses it: the next request makes a new one. */
  drop(): void {
    this.#socket?.destroy();
  }

  async close(): Promise<void> {
    const closed = this.#client.destroy();
    this.drop();
    await closed;
  }

  #opened(socket: Socket): void {
    this.#hasFailed = false;
    this.pool.reached();
    // Heard before undici hears it: a reset would otherwise be the good end of an answer without a length.
    socket.once('error', () => {
      if (socket === this.#socket) this.#hasFailed = true;
      this.#noteHaste();
    });
    socket.once('end', () => this.#noteHaste());
  }

  #noteHaste(): void {
    if (performance.now() - this.#freedMs < HASTY_MS) this.pool.isHasty = true;
  }
}
