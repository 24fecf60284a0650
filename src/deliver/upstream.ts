import type { UpstreamSettings } from '../settings.ts';
import type { Refusal } from '../types.ts';
import type { Connection } from './connection.ts';
import { watchHealth } from './health.ts';
import { Pool } from './pool.ts';
import { type Waiter, WaitingLine } from './waiting.ts';

/** Told what happens to an upstream's targets, by their names. */
export interface UpstreamObserver {
  /** Requests go elsewhere from now on, unless no target takes any. */
  ejected(upstream: string, target: string, detail: string): void;
  back(upstream: string, target: string): void;
  connectFailed(upstream: string, target: string): void;
}

/** What is thought of one target. */
export interface TargetState {
  readonly upstream: string;
  readonly target: string;
  readonly isUp: boolean;
}

/** Of requests that wait and have failed somewhere, so many are asked whether a free connection serves them. */
const LOOK_AHEAD = 32;

const CLOSED: Refusal = Object.freeze({ reason: 'gateway.draining', detail: 'the upstream was closed' });

/** Begins to watch the upstream's health where that is configured; connections are made when they are needed. */
export function openUpstream(settings: UpstreamSettings, observer: UpstreamObserver): Upstream {
  return new Upstream(settings, observer);
}

/**
 * An upstream's connections. It knows its own settings and nothing else of a configuration, so that the next one can
 * take it over as it is.
 */
export class Upstream {
  readonly settings: UpstreamSettings;
  readonly #pools: readonly Pool[];
  readonly #line: WaitingLine;
  readonly #stopHealth: () => void;
  #turn = 0;
  #underWay = 0;
  #isClosed = false;

  constructor(settings: UpstreamSettings, observer: UpstreamObserver) {
    this.settings = settings;
    const { name, waiting, waitMs } = settings;
    this.#pools = settings.targets.map((target) => {
      return new Pool(target, settings, {
        ejected: (detail) => observer.ejected(name, target.name, detail),
        back: () => observer.back(name, target.name),
        connectFailed: () => observer.connectFailed(name, target.name),
        // Later: it may be told in the middle of serving.
        changed: () => queueMicrotask(() => this.#serve()),
      });
    });
    this.#line = new WaitingLine(waiting, waitMs, (waiter) =>
      waiter.refuse(overloaded(`${name}: no connection was free within ${waitMs} ms (wait)`)),
    );
    this.#stopHealth = watchHealth(this.#pools, settings);
  }

  /** How many requests are under way or wait, those included whose sender has been answered. */
  get busy(): number {
    return this.#underWay + this.#line.length;
  }

  /** Why a request would not be taken now, even to wait; `undefined`: it would be. Where nobody may wait nothing is told ahead. */
  get full(): Refusal | undefined {
    const { waiting } = this.settings;
    return waiting > 0 && this.#line.length >= waiting ? this.#overfull() : undefined;
  }

  #overfull(): Refusal {
    const { name, waiting } = this.settings;
    return overloaded(`${name}: as many as may wait already do (waiting: ${waiting})`);
  }

  *targets(): Generator<TargetState> {
    for (const { target, isUp } of this.#pools)
      yield { upstream: this.settings.name, target: target.name, isUp };
  }

  /** Whether there is a target where this request has not failed. */
  hasUntried({ tried }: Waiter): boolean {
    return (tried?.length ?? 0) < this.#pools.length;
  }

  /** Calls `send` at once or as soon as a connection is free, or `refuse`. */
  enter(waiter: Waiter): void {
    if (this.#isClosed) {
      waiter.refuse(CLOSED);
      return;
    }
    const connection = this.#choose(waiter);
    if (connection !== undefined) this.#give(waiter, connection);
    else if (!this.#line.join(waiter)) waiter.refuse(this.#overfull());
  }

  /** A request that may be waiting is given up. */
  leave(waiter: Waiter): void {
    this.#line.leave(waiter);
  }

  /** The exchange on this connection is over. Must be called once for each `send`. */
  free(connection: Connection): void {
    const resting = connection.rest();
    if (resting === undefined) this.#freed(connection);
    else resting.then(() => this.#freed(connection));
  }

  /** Ends every connection; what is under way fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopHealth();
    this.#line.stop();
    for (const waiter of this.#line) {
      this.#line.leave(waiter);
      waiter.refuse(CLOSED);
    }
    await Promise.all(this.#pools.map((pool) => pool.close()));
  }

  #freed(connection: Connection): void {
    this.#underWay -= 1;
    connection.pool.put(connection);
    if (this.#line.length > 0) this.#serve();
  }

  /** Gives what is free to those that wait, in their order. */
  #serve(): void {
    let inVain = 0;
    for (const waiter of this.#line) {
      const connection = this.#choose(waiter);
      if (connection !== undefined) {
        this.#line.leave(waiter);
        this.#give(waiter, connection);
      } else {
        // What does not serve one that may go anywhere serves nobody.
        inVain += 1;
        if (waiter.tried === undefined || inVain === LOOK_AHEAD) return;
      }
    }
  }

  #give(waiter: Waiter, connection: Connection): void {
    this.#underWay += 1;
    waiter.send(connection);
  }

  /** The targets take turns: those that are up, and one request for each that is to be tried again. */
  #choose(waiter: Waiter): Connection | undefined {
    if (this.#underWay >= this.settings.concurrency) return undefined;
    let someUp = false;
    for (let count = this.#pools.length; count > 0; count -= 1) {
      const pool = this.#next();
      if (waiter.tried?.includes(pool)) continue;
      if (pool.isUp) someUp = true;
      else if (!pool.isDue) continue;
      const connection = pool.take();
      if (connection !== undefined) return connection;
    }
    return someUp || this.#isClosed ? undefined : this.#chooseAnyhow(waiter);
  }

  /** Nothing is thought to be up: a wrong guess must not refuse what might work. */
  #chooseAnyhow(waiter: Waiter): Connection | undefined {
    for (let count = this.#pools.length; count > 0; count -= 1) {
      const pool = this.#next();
      const connection = waiter.tried?.includes(pool) ? undefined : pool.take();
      if (connection !== undefined) return connection;
    }
    return undefined;
  }

  #next(): Pool {
    this.#turn = (this.#turn + 1) % this.#pools.length;
    return this.#pools[this.#turn] as Pool;
  }
}

function overloaded(detail: string): Refusal {
  return { reason: 'gateway.overloaded', detail };
}
