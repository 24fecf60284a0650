import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { type Attempt, sendEvent } from './event.ts';
import type { SendPlan } from './options.ts';

/** What became of all events together. */
export interface Totals {
  readonly accepted: number;
  readonly givenUp: number;
  readonly attempts: number;
  readonly ms: number;
}

/** How many events may be under way at once, waiting for a retry included. */
const MAX_UNDER_WAY = 32;

/** Sends every event of the plan, each by its sender's rules, and tells `report` of every attempt. */
export async function sendAll(plan: SendPlan, report: (attempt: Attempt) => void): Promise<Totals> {
  const startedMs = performance.now();
  const underWay = new Set<Promise<void>>();
  let accepted = 0;
  let attempts = 0;
  const sendOne = async (): Promise<void> => {
    for await (const attempt of sendEvent(plan.makeEvent(), plan.options)) {
      attempts++;
      if (attempt.next.kind === 'accepted') accepted++;
      report(attempt);
    }
  };
  for (let started = 0; started < plan.count; started++) {
    const dueMs = startedMs + started * plan.everyMs - performance.now();
    if (dueMs > 0) await pause(dueMs);
    if (underWay.size >= MAX_UNDER_WAY) await Promise.race(underWay);
    const sending = sendOne().finally(() => underWay.delete(sending));
    underWay.add(sending);
  }
  await Promise.all(underWay);
  plan.options.agent.destroy();
  return { accepted, givenUp: plan.count - accepted, attempts, ms: performance.now() - startedMs };
}
