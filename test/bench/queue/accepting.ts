import { setTimeout as pause } from 'node:timers/promises';
import type { Ground } from '../ground.ts';
import { readCpuTime } from '../measure.ts';
import { scrape } from '../scrape.ts';
import { startLoad } from '../trial.ts';
import type { Subject } from './subjects.ts';

export interface AcceptingPlan {
  readonly requests: number;
  readonly connections: number;
}

/** What one subject did with one load. */
export interface Accepting {
  /** Events acknowledged a second. */
  readonly perSecond: number;
  /** The same until the last was delivered too, where the subject delivers. */
  readonly deliveredPerSecond: number | undefined;
  readonly cpuPer10k: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** By how much the event loop came late, 99 times of 100 less; `undefined`: it was not asked. */
  readonly loopP99Ms: number | undefined;
}

const LAG = 'nodejs_eventloop_lag_p99_seconds';
/** What the histogram behind it counts from: its own resolution. */
const LAG_RESOLUTION_MS = 10;
const LOOK_MS = 50;
const SETTLE_MS = 300;
const MOST_DELIVERING_MS = 120_000;

/** @throws Error where an answer is not as it should be */
export async function measureAccepting(
  ground: Ground,
  subject: Subject,
  { requests, connections }: AcceptingPlan,
): Promise<Accepting> {
  const { adminPort, pid } = subject;
  const load = await startLoad(ground, subject, { kind: subject.kind, requests, connections });
  try {
    await lagMs(adminPort);
    const before = readCpuTime(pid).usedSeconds;
    const beganMs = performance.now();
    const { statuses, seconds, p50Ms, p99Ms } = await load.go();
    const loopP99Ms = await lagMs(adminPort);
    if (statuses[subject.status] !== requests)
      throw new Error(
        `${subject.title}: not every answer was ${subject.status}: ${JSON.stringify(statuses)}`,
      );
    if (subject.delivers) await untilEmpty(adminPort as number);
    const wholeSeconds = (performance.now() - beganMs) / 1000;
    await pause(SETTLE_MS);
    const cpuSeconds = readCpuTime(pid).usedSeconds - before;
    return {
      perSecond: requests / seconds,
      deliveredPerSecond: subject.delivers ? requests / wholeSeconds : undefined,
      cpuPer10k: (cpuSeconds / requests) * 10_000,
      p50Ms,
      p99Ms,
      loopP99Ms,
    };
  } finally {
    load.release();
  }
}

/** Since it was asked last. */
async function lagMs(adminPort: number | undefined): Promise<number | undefined> {
  if (adminPort === undefined) return undefined;
  const seconds = (await scrape(adminPort, LAG)).get('') ?? Number.NaN;
  return Math.max(0, seconds * 1000 - LAG_RESOLUTION_MS);
}

async function untilEmpty(adminPort: number): Promise<void> {
  const byMs = performance.now() + MOST_DELIVERING_MS;
  for (;;) {
    const counts = await scrape(adminPort, 'postern_queue_events');
    const left = [...counts].reduce((sum, [, count]) => sum + count, 0);
    if (left === 0) return;
    if (performance.now() > byMs) throw new Error(`${left} events are still not delivered`);
    await pause(LOOK_MS);
  }
}
