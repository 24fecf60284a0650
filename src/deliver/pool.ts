import type { Target, UpstreamSettings } from '../settings.ts';
import { Connection } from './connection.ts';
import { type Dial, dialler } from './dial.ts';
import { describeError } from './fault.ts';

/** Told what becomes of a target. */
export interface PoolWatcher {
  /** It takes no more requests, unless no target does. */
  ejected(detail: string): void;
  back(): void;
  connectFailed(): void;
  /** Something changed: another request may find a connection now. */
  changed(): void;
}

/** `due`: the next request is its trial; `tried`: that one is under way. */
type Standing = 'in' | 'out' | 'due' | 'tried';

/** The connections to one target, and whether it is thought to take requests. */
export class Pool {
  readonly target: Target;
  readonly dial: Dial;
  /** It has closed a connection soon after an answer without saying so. */
  isHasty = false;
  /** Read for each request: neither ejected nor found ill. */
  isUp = true;
  readonly #settings: UpstreamSettings;
  readonly #watcher: PoolWatcher;
  readonly #all: Connection[] = [];
  /** The one that was used last is used next: those that are not needed grow idle and are closed. */
  readonly #idle: Connection[] = [];
  #failures = 0;
  #standing: Standing = 'in';
  #illness: string | undefined;
  #trial: Connection | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(target: Target, settings: UpstreamSettings, watcher: PoolWatcher) {
    this.target = target;
    this.dial = dialler(target, settings);
    this.#settings = settings;
    this.#watcher = watcher;
  }

  /** Whether one request may find out if an ejected target is back. */
  get isDue(): boolean {
    return this.#standing === 'due' && this.#illness === undefined;
  }

  /** A connection that nobody else uses; `undefined`: there may be no more. */
  take(): Connection | undefined {
    if (this.isDue) return this.#takeForTrial();
    return this.#idle.pop() ?? this.#another();
  }

  /** Takes back what `take` gave. */
  put(connection: Connection): void {
    // One that could not be made must not stand before those that are.
    if (connection.isOpen) this.#idle.push(connection);
    else this.#idle.unshift(connection);
    if (this.#trial !== connection) return;
    // A trial that was given up before anything came of it is the next request's.
    this.#trial = undefined;
    if (this.#standing === 'tried') this.#standing = 'due';
  }

  /** A connection was made. */
  reached(): void {
    this.#failures = 0;
    if (this.#standing === 'in') return;
    this.#standing = 'in';
    clearTimeout(this.#timer);
    // Kept from before: to the machine that is back they may mean nothing.
    for (const connection of this.#idle) connection.drop();
    this.#judge('');
  }

  /** A connection could not be made. */
  failed(connection: Connection, error: Error): void {
    if (this.#isClosed) return;
    this.#failures += 1;
    this.#watcher.connectFailed();
    const failedTrial = this.#standing === 'tried' && this.#trial === connection;
    const failedOften = this.#standing === 'in' && this.#failures >= this.#settings.eject.failures;
    if (!failedTrial && !failedOften) return;
    this.#standing = 'out';
    // Where there is no other target all requests go on trying, and a trial would only take one from kept connections.
    if (this.#settings.targets.length > 1)
      this.#timer = setTimeout(() => this.#becomeDue(), this.#settings.eject.durationMs).unref();
    this.#judge(
      `${this.#failures} connections in a row could not be made, the last by ${describeError(error)}`,
    );
  }

  /** What a health check found; `undefined`: it is well, and may be connected to. */
  examined(illness: string | undefined): void {
    this.#illness = illness;
    if (illness === undefined) this.reached();
    this.#judge(`health check: ${illness}`);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await Promise.all(this.#all.map((connection) => connection.close()));
  }

  /** A kept connection could not tell whether new ones can be made, and may lead to where nobody is any more. */
  #takeForTrial(): Connection | undefined {
    const connection = this.#another() ?? this.#idle.pop();
    if (connection === undefined) return undefined;
    connection.drop();
    this.#standing = 'tried';
    this.#trial = connection;
    return connection;
  }

  #another(): Connection | undefined {
    if (this.#all.length >= this.#settings.connections) return undefined;
    const connection = new Connection(this, this.dial);
    this.#all.push(connection);
    return connection;
  }

  #becomeDue(): void {
    this.#standing = 'due';
    this.#watcher.changed();
  }

  #judge(detail: string): void {
    const isUp = this.#standing === 'in' && this.#illness === undefined;
    if (isUp === this.isUp) return;
    this.isUp = isUp;
    if (isUp) this.#watcher.back();
    else this.#watcher.ejected(detail);
    this.#watcher.changed();
  }
}
