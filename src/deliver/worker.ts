import type { Lease, Queue } from '../events.ts';
import type { QueueSettings } from '../settings.ts';
import type { Refusal } from '../types.ts';
import {
  CANCELLED,
  conclude,
  type Delivery,
  DRAINING,
  LEASE_SPARE_MS,
  UNREACHABLE_MS,
  type WorkerObserver,
} from './conclude.ts';
import type { Exchange, Outgoing } from './exchange.ts';
import { forward } from './forward.ts';
import type { Upstream } from './upstream.ts';

/** What is sent, and to which upstream. */
export type Ready = Pick<Outgoing, 'method' | 'path' | 'headers' | 'body'> & { readonly upstream: Upstream };

/** How the accepted events of one route are delivered. */
export interface WorkerRoute {
  readonly name: string;
  readonly queue: QueueSettings;
  readonly upstream: Upstream;
  /** How long one delivery may take. */
  readonly timeoutMs: number;
  /** Makes the request of an event as the configuration says now; `cancelled`: that says it is not to be sent. */
  readonly ready: (lease: Lease) => Promise<Ready | 'cancelled' | Refusal>;
}

/** An event that found no place at its upstream is tried again after this. */
const NO_PLACE_MS = 1000;
/** A delivery that takes too long is ended: its answer would find nobody. */
const UNWATCHED = { lateMs: 0, wantsBody: () => true, settled: () => undefined } as const;

/**
 * Delivers what one route has accepted, several at a time. It knows no more of the backlog than what it has leased, so
 * a backlog of a million costs as much memory as one of ten, and no other route waits for it.
 */
export class Worker {
  /** As the configuration says now; deliveries under way end as they began. */
  route: WorkerRoute;
  readonly #queue: Queue;
  readonly #observer: WorkerObserver;
  readonly #exchanges = new Set<Exchange>();
  #underWay = 0;
  #timer: NodeJS.Timeout | undefined;
  #isAsking = false;
  #isWoken = false;
  #isStopped = false;

  constructor(route: WorkerRoute, queue: Queue, observer: WorkerObserver) {
    this.route = route;
    this.#queue = queue;
    this.#observer = observer;
  }

  /** How many deliveries are under way. */
  get underWay(): number {
    return this.#underWay;
  }

  /** Events may be due. */
  wake(): void {
    this.#isWoken = true;
    void this.#ask();
  }

  /** Begins no more deliveries. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** Ends those under way: whether an upstream has taken such an event is not known, so it is due again. */
  giveUpAll(): void {
    for (const exchange of this.#exchanges) exchange.giveUp(DRAINING);
  }

  async #ask(): Promise<void> {
    const { name, queue, timeoutMs } = this.route;
    const free = queue.concurrency - this.#underWay;
    if (this.#isAsking || this.#isStopped || free <= 0) return;
    this.#isAsking = true;
    this.#isWoken = false;
    clearTimeout(this.#timer);
    let againMs: number | undefined;
    try {
      const request = { count: free, leaseMs: timeoutMs + LEASE_SPARE_MS, pace: queue.pace };
      const answer = await this.#queue.lease(name, request);
      for (const lease of answer.leases) void this.#deliver(lease);
      againMs = answer.leases.length === free ? 0 : answer.againMs;
    } catch (error) {
      this.#observer.failed(name, error);
      againMs = UNREACHABLE_MS;
    }
    this.#isAsking = false;
    if (this.#isWoken || againMs === 0) void this.#ask();
    else if (againMs !== undefined && !this.#isStopped)
      this.#timer = setTimeout(() => this.wake(), Math.max(againMs, 1));
  }

  async #deliver(lease: Lease): Promise<void> {
    this.#underWay += 1;
    try {
      await this.#attempt(lease);
    } catch (error) {
      // The lease ends by itself, and the event is delivered then.
      this.#observer.failed(lease.event.route, error);
    }
    this.#underWay -= 1;
    this.wake();
  }

  async #attempt(lease: Lease): Promise<void> {
    const { queue } = this.route;
    const startedMs = Date.now();
    const startedAt = performance.now();
    const { outcome, target } = await this.#send(lease);
    if (outcome !== CANCELLED && 'reason' in outcome && outcome.reason === 'gateway.overloaded') {
      await this.#queue.giveBack(lease, Date.now() + NO_PLACE_MS);
      return;
    }
    const writing = { queue: this.#queue, observer: this.#observer, isStopped: () => this.#isStopped };
    await conclude({ lease, startedMs, startedAt, outcome, target }, queue, writing);
  }

  async #send(lease: Lease): Promise<Pick<Delivery, 'outcome' | 'target'>> {
    const { timeoutMs, ready } = this.route;
    let exchange: Exchange;
    try {
      const outgoing = await ready(lease);
      if (outgoing === 'cancelled') return { outcome: CANCELLED, target: undefined };
      if ('reason' in outgoing) return { outcome: outgoing, target: undefined };
      exchange = forward(outgoing.upstream, { ...outgoing, ...UNWATCHED, timeoutMs });
    } catch (error) {
      // An event that cannot even be sent must not be tried for ever.
      const outcome: Refusal = { reason: 'gateway.error', detail: (error as Error).message };
      return { outcome, target: undefined };
    }
    this.#exchanges.add(exchange);
    const outcome = await exchange.answer;
    this.#exchanges.delete(exchange);
    return { outcome, target: exchange.target };
  }
}
