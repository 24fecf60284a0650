import type { Attempt, Disposal, Lease, QueuedEvent, Retention } from '../../events.ts';
import type { Sealer } from '../seal.ts';
import { indexKey, indexMember } from './event-index.ts';
import { eventIn, factsIn, storedAttempt } from './job.ts';
import type { Link } from './link.ts';
import type { Owner } from './owner.ts';
import { deliveredBytesKey } from './retention.ts';
import type { RouteJob, RouteQueue } from './route-queue.ts';
import { type Born, seize } from './seize.ts';

/** When an event whose content cannot be read is looked at again: the key may be given back. */
const UNREADABLE_PAUSE_MS = 60_000;
/** BullMQ's codes for a job that is not ours any more: missing, without a lock, not active, another's lock. */
const LOST = new Set([-1, -2, -3, -6]);

export interface LeasesOptions {
  readonly link: Link;
  readonly prefix: string;
  readonly owner: Owner;
  readonly sealer: Sealer | undefined;
  readonly retention: Retention;
  /** Told once a reason, of events that cannot be read. */
  readonly warn: (sentence: string) => void;
}

/** The jobs that this process delivers. */
export interface Leases {
  take(at: RouteQueue, route: string, count: number, leaseMs: number): Promise<readonly Lease[]>;
  /** Leases an event that was stored with a delay of its lease: nobody else could have taken it. Never rejects. */
  begin(at: RouteQueue, event: QueuedEvent, born: Born): Promise<Lease>;
  settle(at: RouteQueue, lease: Lease, attempt: Attempt, disposal: Disposal): Promise<boolean>;
  giveBack(at: RouteQueue, lease: Lease, dueMs: number): Promise<void>;
  /** Whether the token of a lock is of an owner that is gone. */
  isVoid(token: string): boolean;
}

/** What of a job stands in its `progress`, the one field that may be changed at any time. */
export interface Progress {
  /** How many deliveries had begun when an operator put the event back. */
  readonly base?: number;
  /** Its claim was dropped: the next copy takes its place. */
  readonly forgotten?: boolean;
}

export function openLeases({ link, prefix, owner, sealer, retention, warn }: LeasesOptions): Leases {
  const held = new Map<string, RouteJob | undefined>();
  const born = new Map<string, Born>();
  const warned = new Set<string>();
  let lastToken = 0;
  let last = { finishedMs: 0, count: 0 };

  /** Held before it is asked for: a job that is ours and that we know nothing of is one whose answer did not arrive. */
  function newToken(): string {
    lastToken += 1;
    const token = `${owner.name}:${lastToken}`;
    held.set(token, undefined);
    return token;
  }

  async function takeOne(at: RouteQueue, route: string): Promise<Lease | 'unreadable' | undefined> {
    const token = newToken();
    try {
      const job = await link.ask(() => at.worker.getNextJob(token, { block: false }));
      if (job === undefined) held.delete(token);
      else held.set(token, job);
      return job && (await leaseOf(at, route, job, token));
    } catch (error) {
      held.delete(token);
      throw error;
    }
  }

  async function leaseOf(
    at: RouteQueue,
    route: string,
    job: RouteJob,
    token: string,
  ): Promise<Lease | 'unreadable'> {
    try {
      const event = eventIn(route, job.name, job.data, sealer);
      const { base = 0 } = progressOf(job);
      const attempt = job.attemptsStarted;
      return { event, attempt, step: attempt - base, token };
    } catch (error) {
      const sentence = `route ${route}: an event cannot be read: ${(error as Error).message}`;
      if (!warned.has(sentence)) warn(sentence);
      warned.add(sentence);
      await putBack(at, job, token, Date.now() + UNREADABLE_PAUSE_MS);
      return 'unreadable';
    }
  }

  /** @returns `undefined` where it is not ours any more */
  async function jobOf(at: RouteQueue, token: string): Promise<RouteJob | undefined> {
    const begun = born.get(token);
    if (begun === undefined) return held.get(token);
    // Whether it could be seized at once is not known.
    const isOurs = await seize(link, at, begun, token);
    const job = isOurs ? await link.ask(() => at.queue.getJob(begun.jobId)) : undefined;
    born.delete(token);
    if (job === undefined) held.delete(token);
    else held.set(token, job);
    return job;
  }

  /** As it was before it was leased: no attempt was made. */
  async function putBack(at: RouteQueue, job: RouteJob, token: string, dueMs: number): Promise<boolean> {
    const fieldsToUpdate = { ats: job.attemptsStarted - 1 };
    return finish(token, () => {
      const nowMs = Date.now();
      const options = { skipAttempt: true, fieldsToUpdate };
      return at.queue
        .getBackend()
        .moveToDelayed(job.id as string, nowMs, Math.max(dueMs - nowMs, 0), token, options);
    });
  }

  /** @returns false where the job is not ours any more */
  async function finish(token: string, move: () => Promise<unknown>): Promise<boolean> {
    const isOurs = await link.ask(() =>
      move().then(
        () => true,
        (error: Error & { code?: unknown }) => {
          if (LOST.has(Number(error.code))) return false;
          throw error;
        },
      ),
    );
    held.delete(token);
    return isOurs;
  }

  function move(at: RouteQueue, job: RouteJob, token: string, attempt: Attempt, disposal: Disposal) {
    const backend = at.queue.getBackend();
    const id = job.id as string;
    const stored = storedAttempt(attempt, factsIn(job.name).id, sealer);
    const { status, reason } = attempt;
    const fieldsToUpdate = {
      [`attempt:${attempt.number}`]: JSON.stringify(stored),
      last: JSON.stringify({ status, reason }),
    };
    if (disposal.state === 'waiting') {
      const nowMs = Date.now();
      const delayMs = Math.max(disposal.dueMs - nowMs, 0);
      return backend.moveToDelayed(id, nowMs, delayMs, token, { skipAttempt: true, fieldsToUpdate });
    }
    if (disposal.state === 'dead') {
      return bury(at, job, token, attempt, fieldsToUpdate);
    }
    return complete(at, job, token, stored);
  }

  /** The attempt is what BullMQ calls the return value: the only thing that is written down with the success. */
  async function complete(at: RouteQueue, job: RouteJob, token: string, stored: unknown): Promise<void> {
    const isKept = retention.deliveredMs > 0;
    const { finishedOn } = await at.queue.getBackend().moveToCompleted(job, stored, !isKept, token, false);
    const facts = factsIn(job.name);
    const member = indexMember({ ...facts, route: at.queue.name });
    // It is settled: what follows keeps the books, and must not have it settled once more.
    const books = isKept
      ? [
          link.client.incrby(deliveredBytesKey(prefix), facts.bytes),
          tellApart(`${at.base}completed`, job, finishedOn),
        ]
      : [link.client.zrem(indexKey(prefix), member)];
    await Promise.allSettled(books);
  }

  async function bury(
    at: RouteQueue,
    job: RouteJob,
    token: string,
    { reason, status }: Attempt,
    fields: Record<string, string>,
  ): Promise<void> {
    const word = reason ?? `status ${status}`;
    const backend = at.queue.getBackend();
    const { finishedOn } = await backend.moveToFailed(job, word, false, token, false, fields);
    await tellApart(`${at.base}failed`, job, finishedOn).catch(() => undefined);
  }

  /** BullMQ sorts by the millisecond; what ends in the same one is told apart by fractions of it. */
  async function tellApart(key: string, job: RouteJob, finishedMs: number): Promise<void> {
    last = { finishedMs, count: last.finishedMs === finishedMs ? last.count + 1 : 0 };
    const fraction = Math.min(last.count, 999) / 1000;
    if (fraction > 0) await link.client.zadd(key, 'XX', finishedMs + fraction, job.id as string);
  }

  return {
    async take(at, route, count, leaseMs) {
      at.worker.opts.lockDuration = leaseMs;
      const first = await takeOne(at, route);
      if (first === undefined) return [];
      const others = Array.from({ length: count - 1 }, () => takeOne(at, route));
      const taken = [first, ...settledOf(await Promise.allSettled(others))];
      return taken.filter((lease) => lease !== undefined && lease !== 'unreadable');
    },
    async begin(at, event, begun) {
      const token = newToken();
      born.set(token, begun);
      // Until its delay is over nobody takes it in any case, and settling asks again.
      await seize(link, at, begun, token).catch(() => undefined);
      return { event, attempt: 1, step: 1, token };
    },
    async settle(at, lease, attempt, disposal) {
      const token = String(lease.token);
      const job = await jobOf(at, token);
      if (job === undefined) return false;
      return finish(token, () => move(at, job, token, attempt, disposal));
    },
    async giveBack(at, lease, dueMs) {
      const token = String(lease.token);
      const job = await jobOf(at, token);
      if (job === undefined) return;
      await putBack(at, job, token, dueMs).catch((error: unknown) => {
        // Then it is void, and taken over: nothing of it was sent.
        held.delete(token);
        throw error;
      });
    },
    isVoid(token) {
      const [name = ''] = token.split(':');
      return name === owner.name ? !held.has(token) : owner.isGone(name);
    },
  };
}

export function progressOf({ progress }: Pick<RouteJob, 'progress'>): Progress {
  return typeof progress === 'object' ? (progress as Progress) : {};
}

/** Of several that were asked for at once, those that came: what was lost on the way comes back by itself. */
function settledOf<Value>(results: readonly PromiseSettledResult<Value>[]): Value[] {
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}
