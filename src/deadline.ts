import type { SenderProfile } from './sender-profile.ts';

/** What a sender's deadline leaves for the way back to it. */
const ANSWER_MARGIN_MS = 1000;
/** What the upstream's time leaves for reading, checking and answering. */
const UPSTREAM_MARGIN_MS = 2000;
const TIMEOUT_WITHOUT_DEADLINE_MS = 30_000;
/** What the time for an answer leaves for the disk, where an event whose upstream is late is stored. */
const STORE_MARGIN_MS = 1000;

/** By when a sender must have its answer, from the head's first byte; infinite without a deadline. */
export function answerDeadlineMs(sender: SenderProfile | undefined): number {
  const deadlineMs = sender?.deadlineMs;
  return deadlineMs === undefined ? Number.POSITIVE_INFINITY : lessMargin(deadlineMs, ANSWER_MARGIN_MS);
}

/** When an upstream is late, from the head's first byte: so that the disk can still answer in its place; infinite without a deadline. */
export function lateAfterMs(sender: SenderProfile | undefined): number {
  return lessMargin(answerDeadlineMs(sender), STORE_MARGIN_MS);
}

/** Until when, from the head's first byte, a request may wait for its turn: the upstream must have as much again. */
export function latestTurnMs(sender: SenderProfile | undefined): number {
  return answerDeadlineMs(sender) / 2;
}

/** How long an upstream may take where its settings do not say. */
export function defaultTimeoutMs(sender: SenderProfile | undefined): number {
  const deadlineMs = sender?.deadlineMs;
  return deadlineMs === undefined ? TIMEOUT_WITHOUT_DEADLINE_MS : lessMargin(deadlineMs, UPSTREAM_MARGIN_MS);
}

/** Of a deadline so short that the margin would eat it, half is left. */
function lessMargin(deadlineMs: number, marginMs: number): number {
  return Math.max(deadlineMs - marginMs, deadlineMs / 2);
}
