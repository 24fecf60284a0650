import { createRedisBackend, type Job, Queue, Worker } from 'bullmq';
import type { JobData } from './job.ts';
import type { Link } from './link.ts';

export type RouteJob = Job<JobData, unknown, string>;

/** BullMQ's queue of one route, and its worker, which only does what it is told. */
export interface RouteQueue {
  readonly queue: Queue<JobData, unknown, string>;
  readonly worker: Worker<JobData, unknown, string>;
  /** What all keys of the queue begin with. */
  readonly base: string;
  close(): Promise<void>;
}

/** Its stream of events is nobody's to read here. */
const KEPT_EVENTS = 100;

/** Opens a route's queue over the connection that is there already. */
export function openRouteQueue(link: Link, prefix: string, route: string): RouteQueue {
  // The version is not asked: that would also print about settings which `durabilityWarnings` tells in our own log.
  const options = { connection: link.client, prefix: queuePrefix(prefix), skipVersionCheck: true };
  const queue = new Queue<JobData, unknown, string>(route, {
    ...options,
    streams: { events: { maxLen: KEPT_EVENTS } },
  });
  // Without the connection of its own on which a worker waits for jobs: a connection for every route.
  const worker = new Worker<JobData, unknown, string>(route, undefined, options, (name, given) =>
    createRedisBackend(name, given),
  );
  // What is wrong with the connection is told by the link.
  queue.on('error', () => undefined);
  worker.on('error', () => undefined);
  return {
    queue,
    worker,
    base: baseOf(prefix, route),
    async close() {
      await Promise.allSettled([queue.close(), worker.close(true)]);
    },
  };
}

/** What all keys of a route's queue begin with. */
export function baseOf(prefix: string, route: string): string {
  return `${queuePrefix(prefix)}:${route}:`;
}

function queuePrefix(prefix: string): string {
  return `${prefix}:queue`;
}
