import type { AcceptedClaim, Queue, QueueCount, QueuedEvent, Retention } from '../../events.ts';
import type { Sealer } from '../seal.ts';
import type { Again } from './again.ts';
import type { SharedClaims } from './claims.ts';
import { indexKey, indexMember, routesKey } from './event-index.ts';
import { factsIn, jobData, jobIdOf, jobName } from './job.ts';
import { openLeases, progressOf } from './leases.ts';
import type { Link } from './link.ts';
import type { Owner } from './owner.ts';
import { sharedPace } from './pace.ts';
import { sharedQuarantine } from './quarantine.ts';
import { quarantineKey } from './quarantine-keys.ts';
import { deliveredBytesKey, removeOld } from './retention.ts';
import { baseOf, openRouteQueue, type RouteJob, type RouteQueue } from './route-queue.ts';
import { type Outlook, takeOver } from './takeover.ts';

const POLL_MS = 250;
/** How often what was kept long enough is removed. */
const CLEAN_POLLS = 20;
const ACCEPTED = Object.freeze({ status: 202 });

export interface SharedQueueOptions {
  readonly link: Link;
  readonly prefix: string;
  readonly owner: Owner;
  readonly claims: SharedClaims;
  readonly again: Again;
  readonly sealer: Sealer | undefined;
  readonly retention: Retention;
  readonly warn: (sentence: string) => void;
}

export interface SharedQueue extends Queue {
  close(): Promise<void>;
}

/** The queue of all gateways of one prefix together: BullMQ's, one for each route. */
export function sharedQueue(options: SharedQueueOptions): SharedQueue {
  const { link, prefix, claims, again, sealer, retention } = options;
  const leases = openLeases(options);
  const pace = sharedPace(link, prefix);
  const routes = new Map<string, RouteQueue>();
  const wakes: ((route: string) => void)[] = [];
  let polls = 0;
  link.onBack(() => {
    for (const route of routes.keys()) for (const wake of wakes) wake(route);
  });

  function at(route: string): RouteQueue {
    const known = routes.get(route);
    if (known !== undefined) return known;
    // BullMQ gives up for good on a connection that is closed when it first sees it.
    const problem = link.problem();
    if (problem !== undefined) throw new Error(problem);
    const opened = openRouteQueue(link, prefix, route);
    routes.set(route, opened);
    return opened;
  }

  /**
   * @param delayMs how long nobody may deliver it
   * @returns false where it is there already, and not done with
   */
  async function store(
    event: QueuedEvent,
    jobId: string,
    claim: AcceptedClaim | undefined,
    delayMs = 0,
  ): Promise<boolean> {
    const { queue, base } = at(event.route);
    const timestamp = event.receivedMs;
    // BullMQ counts the delay from the job's own time.
    const delay = delayMs > 0 ? { delay: Math.max(Date.now() - timestamp, 0) + delayMs } : {};
    const add = () => queue.add(jobName(event), jobData(event, sealer), { jobId, timestamp, ...delay });
    // Sent together, so done in this order: an event that is stored is in the index.
    const [isThere] = await link.ask((client) =>
      Promise.all([
        client.exists(base + jobId),
        client.sadd(routesKey(prefix), event.route),
        client.zadd(indexKey(prefix), event.receivedMs, indexMember(event)),
        add(),
      ]),
    );
    if (isThere === 0) return true;
    const job = await link.ask(() => queue.getJob(jobId));
    if (job === undefined || !isOld(job, event, claim)) return false;
    // BullMQ takes an event that it has had before for done.
    await link.ask(() => queue.remove(jobId));
    await link.ask(add);
    const member = indexMember({ ...factsIn(job.name), route: event.route });
    await link.ask((client) => client.zrem(indexKey(prefix), member));
    if (job.returnvalue !== null && job.returnvalue !== undefined)
      await link.ask((client) => client.decrby(deliveredBytesKey(prefix), factsIn(job.name).bytes));
    return true;
  }

  /** Removes what was refused for want of an answer, should it be stored all the same. */
  async function withdraw({ route, id }: QueuedEvent, jobId: string): Promise<boolean> {
    const { queue } = at(route);
    const job = await link.ask(() => queue.getJob(jobId));
    if (job === undefined) return false;
    // Another copy of it may have been accepted since.
    if (factsIn(job.name).id !== id) return true;
    if (job.finishedOn === undefined) await link.ask(() => queue.remove(jobId));
    return true;
  }

  function checkHeld(claim: AcceptedClaim | undefined): void {
    if (claim !== undefined && !claims.holds(claim.key, claim.token))
      throw new Error('the claim was overrun: another request has the event');
  }

  /** The event is stored: should its claim not be kept now, a copy is known by its job. */
  async function keep(claim: AcceptedClaim | undefined): Promise<void> {
    if (claim !== undefined)
      await claims.keep(claim.key, claim.token, ACCEPTED, claim.rememberMs).catch(() => undefined);
  }

  const isVoid = (token: string) => leases.isVoid(token);
  const quarantine = sharedQuarantine({
    link,
    prefix,
    claims,
    sealer,
    at,
    store,
    async acceptedAs(event, jobId, claim) {
      const job = await link.ask(() => at(event.route).queue.getJob(jobId));
      return job === undefined || isOld(job, event, claim) ? undefined : factsIn(job.name).id;
    },
  });

  async function look(): Promise<void> {
    const names = await link.ask((client) => client.smembers(routesKey(prefix)));
    await Promise.all(names.map(lookAt));
  }

  async function lookAt(route: string): Promise<void> {
    const outlook = await takeOver(link, baseOf(prefix, route), isVoid);
    if (isDue(outlook)) for (const wake of wakes) wake(route);
  }

  const polling = setInterval(() => {
    if (link.problem() !== undefined) return;
    polls += 1;
    // What fails has the link lose Redis, which says so.
    look().catch(() => undefined);
    if (polls % CLEAN_POLLS === 0)
      removeOld({ link, prefix, at, warn: options.warn }, retention).catch(() => undefined);
  }, POLL_MS).unref();

  return {
    async accept(event, claim) {
      checkHeld(claim);
      const jobId = jobIdOf(event);
      try {
        await store(event, jobId, claim);
      } catch (error) {
        // Its sender will send it again, and nothing would tell the two apart.
        if (event.messageId === undefined) again.add(() => withdraw(event, jobId));
        throw error;
      }
      await keep(claim);
    },
    async acceptLeased(event, claim, leaseMs) {
      checkHeld(claim);
      const jobId = jobIdOf(event);
      const isNew = await store(event, jobId, claim, leaseMs).catch((error) => {
        // Its delivery goes on, and its sender may send it again.
        again.add(() => withdraw(event, jobId));
        throw error;
      });
      if (!isNew) throw new Error('another request has stored the event');
      const lease = await leases.begin(at(event.route), event, { jobId, leaseMs });
      await keep(claim);
      return lease;
    },
    ...quarantine,
    async lease(route, { count, leaseMs, pace: limit }) {
      const opened = at(route);
      // First of all what nobody delivers any more, be it that a process of this machine is gone.
      const before = await takeOver(link, opened.base, isVoid);
      if (!isDue(before)) return { leases: [], againMs: untilDue(before) };
      const room = limit && (await pace.begin(route, limit, count));
      const most = room?.count ?? count;
      const taken = most === 0 ? [] : await leases.take(opened, route, most, leaseMs);
      if (taken.length === count) return { leases: taken, againMs: 0 };
      if (room !== undefined && taken.length === most) return { leases: taken, againMs: room.againMs };
      try {
        if (limit !== undefined) await pace.giveBack(route, limit, most - taken.length);
        return { leases: taken, againMs: untilDue(await takeOver(link, opened.base, isVoid)) };
      } catch {
        // What has been taken must be delivered: nobody else gets it before its lease ends.
        return { leases: taken, againMs: POLL_MS };
      }
    },
    settle: (lease, attempt, disposal) => leases.settle(at(lease.event.route), lease, attempt, disposal),
    giveBack: (lease, dueMs) => leases.giveBack(at(lease.event.route), lease, dueMs),
    watch: (wake) => void wakes.push(wake),
    async counts() {
      const names = await link.ask((client) => client.smembers(routesKey(prefix)));
      return Promise.all(names.toSorted().map((route) => countOf(link, at(route), route)));
    },
    async close() {
      clearInterval(polling);
      await Promise.all([...routes.values()].map((opened) => opened.close()));
    },
  };
}

function isDue({ waiting, dueMs }: Outlook): boolean {
  return waiting > 0 || (dueMs !== undefined && dueMs <= Date.now());
}

/** After how many milliseconds something is due; `undefined`: not before it is accepted. */
function untilDue({ waiting, dueMs }: Outlook): number | undefined {
  if (waiting > 0) return 0;
  return dueMs && Math.max(dueMs - Date.now(), 0);
}

/** Whether the job that is there is of an earlier event, done with, whose place this one takes. */
function isOld(job: RouteJob, { receivedMs }: QueuedEvent, claim: AcceptedClaim | undefined): boolean {
  if (job.finishedOn === undefined) return false;
  // Else its claim lapsed before it was kept: this is a copy of what was accepted, and no new event.
  const isRemembered = factsIn(job.name).receivedMs + (claim?.rememberMs ?? 0) > receivedMs;
  return !isRemembered || progressOf(job).forgotten === true;
}

async function countOf(link: Link, { queue, base }: RouteQueue, route: string): Promise<QueueCount> {
  const [counts, ...lists] = await link.ask((client) =>
    Promise.all([
      queue.getJobCounts('wait', 'delayed', 'active', 'failed'),
      client.lrange(`${base}wait`, -1, -1),
      client.lrange(`${base}active`, 0, -1),
      // Those that are due first have mostly waited longest; all of them may be very many.
      client.zrange(`${base}delayed`, 0, '99'),
    ]),
  );
  const quarantined = await link.ask((client) => client.zcard(quarantineKey(base)));
  const ids = lists.flat();
  const times = await link.ask((client) => Promise.all(ids.map((id) => client.hget(base + id, 'timestamp'))));
  const { wait = 0, delayed: later = 0, active = 0, failed = 0 } = counts;
  const known = times.filter((time) => time !== null).map(Number);
  const oldestMs = known.length === 0 ? undefined : Math.min(...known);
  return { route, waiting: wait + later, delivering: active, dead: failed, quarantined, oldestMs };
}
