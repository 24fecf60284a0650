import type { Attempt, Disposal, Lease, Queue } from '../events.ts';
import { fieldValue } from '../fields.ts';
import type { QueueSettings } from '../settings.ts';
import type { Refusal, UpstreamAnswer } from '../types.ts';
import { excerptOf } from './excerpt.ts';
import { disposalOf } from './schedule.ts';

/** Told what becomes of deliveries. */
export interface WorkerObserver {
  attempted(lease: Lease, attempt: Attempt, disposal: Disposal): void;
  /** The lease had been overrun: what came of this delivery does not count. */
  overrun(lease: Lease, attempt: Attempt): void;
  /** The queue cannot be asked; it is asked again until it can. */
  failed(route: string, error: unknown): void;
}

/** One delivery, at its end. */
export interface Delivery {
  readonly lease: Lease;
  /** When it began: since the epoch, and by the clock that never jumps. */
  readonly startedMs: number;
  readonly startedAt: number;
  readonly outcome: UpstreamAnswer | Refusal | typeof CANCELLED;
  readonly target: string | undefined;
}

/** Where what came of it is written down. */
export interface Writing {
  readonly queue: Queue;
  readonly observer: WorkerObserver;
  /** The process is about to end: what cannot be written at once is not waited for. */
  readonly isStopped: () => boolean;
}

/** Beyond its own time a delivery may take this long to be settled. */
export const LEASE_SPARE_MS = 5000;
/** Nothing was sent, and that is what was wanted. */
export const CANCELLED = 'cancelled by its transformation';
/** The process ends: whether an upstream has taken such an event is not known, so it is due again. */
export const DRAINING: Refusal = Object.freeze({ reason: 'gateway.draining' });
/** A state that is out of reach is asked again after this. */
export const UNREACHABLE_MS = 500;

/** Writes down what came of a delivery, and what becomes of its event by these rules. Rejects where that cannot be written and the process ends. */
export async function conclude(delivery: Delivery, rules: QueueSettings, writing: Writing): Promise<void> {
  const { lease, startedMs, startedAt, outcome, target } = delivery;
  const attempt: Attempt = {
    number: lease.attempt,
    startedMs,
    durationMs: Math.round(performance.now() - startedAt),
    target,
    ...(await factsOf(outcome)),
  };
  await settle(lease, attempt, dispose(lease, attempt, { outcome, rules }), writing);
}

function dispose(
  { step }: Lease,
  { status, reason }: Attempt,
  { outcome, rules }: { outcome: Delivery['outcome']; rules: QueueSettings },
): Disposal {
  const nowMs = Date.now();
  if (outcome === CANCELLED) return { state: 'delivered' };
  if (reason === DRAINING.reason) return { state: 'waiting', dueMs: nowMs };
  return disposalOf({ status, retryAfter: retryAfterOf(outcome), step }, rules, nowMs);
}

/** What the upstream has taken must be written down, or it is delivered once more: it is tried until it can be. */
async function settle(
  lease: Lease,
  attempt: Attempt,
  disposal: Disposal,
  { queue, observer, isStopped }: Writing,
): Promise<void> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      const isOurs = await queue.settle(lease, attempt, disposal);
      if (isOurs) observer.attempted(lease, attempt, disposal);
      else observer.overrun(lease, attempt);
      return;
    } catch (error) {
      if (isStopped()) throw error;
      if (isFirst) observer.failed(lease.event.route, error);
      await new Promise((resolve) => setTimeout(resolve, UNREACHABLE_MS));
    }
  }
}

async function factsOf(
  outcome: Delivery['outcome'],
): Promise<Pick<Attempt, 'status' | 'reason' | 'detail' | 'answer'>> {
  if (outcome === CANCELLED)
    return { status: undefined, reason: undefined, detail: outcome, answer: Buffer.alloc(0) };
  if ('reason' in outcome) {
    const { reason, detail } = outcome;
    return { status: undefined, reason, detail, answer: Buffer.alloc(0) };
  }
  return { status: outcome.status, reason: undefined, detail: undefined, answer: await excerptOf(outcome) };
}

function retryAfterOf(outcome: UpstreamAnswer | Refusal): string | undefined {
  return 'reason' in outcome ? undefined : fieldValue(outcome.headers, 'retry-after');
}
