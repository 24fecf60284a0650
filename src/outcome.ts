import { type Claim, type Claimed, isSuccess } from './claim.ts';
import { factsOf, type Reason } from './reasons.ts';
import type { Entry } from './record/entry.ts';
import { acknowledge, type Responder } from './respond.ts';
import type { Head, Refusal, Reply, Settlement, UpstreamAnswer } from './types.ts';

/** Writes into the entry why a request was not delivered; gives our own answer, `undefined` where none is possible. */
export function refuse(responder: Responder, entry: Entry, refusal: Refusal): Reply | undefined {
  const reply = responder.refuse(refusal, entry.id);
  entry.outcome = isFault(refusal.reason) ? 'failed' : 'refused';
  entry.reason = refusal.reason;
  entry.detail = refusal.detail;
  return reply.status === 0 ? undefined : reply;
}

/** A refusal is our "no" to a sender; a fault is what went wrong on our side or behind us, or broke off unanswered. */
function isFault(reason: Reason): boolean {
  const { side, status } = factsOf(reason);
  return side !== 'sender' || status === 0;
}

/** Writes into the entry what the upstream answered; gives that answer as this sender reads it. */
export function pass(
  responder: Responder,
  head: Head,
  entry: Entry,
  answer: Parameters<Responder['pass']>[0],
): Reply {
  const { reply, reason } = responder.pass(answer, head.method, head.id);
  entry.outcome = reason === undefined ? 'delivered' : 'failed';
  entry.reason = reason;
  return reply;
}

/** What became of an exchange, as this sender reads it. */
export function answerOf(
  responder: Responder,
  head: Head,
  entry: Entry,
  outcome: UpstreamAnswer | Refusal,
): Reply | undefined {
  if ('reason' in outcome) return refuse(responder, entry, outcome);
  entry.upstreamStatus = outcome.status;
  return pass(responder, head, entry, outcome);
}

/** Only the first copy of a signed event is delivered; the others get what became of it. */
export function answerCopy(
  responder: Responder,
  head: Head,
  entry: Entry,
  claimed: Exclude<Claimed, { claim: Claim }>,
): Reply | undefined {
  if ('reason' in claimed) return refuse(responder, entry, claimed);
  const settlement = 'copyOf' in claimed ? claimed.copyOf : DELIVERED;
  if (settlement.reason !== undefined) return refuse(responder, entry, settlement);
  if (isSuccess(settlement)) {
    entry.outcome = 'duplicate';
    return acknowledge(settlement.status, head.id);
  }
  return pass(responder, head, entry, { status: settlement.status, headers: [], body: undefined });
}

const DELIVERED: Settlement = Object.freeze({ status: 200 });
