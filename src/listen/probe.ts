import type { Alarm } from './alarm.ts';

/** How soon and how often a sender that cannot be heard any more is asked whether it is there. */
const FIRST_PROBE_MS = 100;
export const PROBE_MS = 1000;

/**
 * Asks a sender whether it is there, again and again until the alarm is set anew. Only a write tells: the first one is
 * answered with a reset, the next one fails for it.
 * @param ask sends an interim answer: one that every client must understand, whether it expects it or not (RFC 9110
 *   section 15.2)
 */
export function probe(alarm: Alarm, ask: () => void, nextMs = FIRST_PROBE_MS): void {
  ask();
  alarm.set(performance.now() + nextMs, () => probe(alarm, ask, PROBE_MS));
}
