import type { Reported } from './reasons.ts';
import type { Entry } from './record/entry.ts';
import { GONE, type Request } from './request.ts';
import type { Check, Refusal, Sender, Turn } from './types.ts';

/**
 * Asks a route's checks in their order, has the request wait where one of them says so, and writes into the entry what
 * they prove, or would have refused.
 * @returns the first refusal; `undefined`: all of them passed
 */
export async function examine<In>(
  checks: readonly Check<In>[],
  input: In,
  entry: Entry,
  sender: Sender,
): Promise<Refusal | undefined> {
  for (const check of checks) {
    const answer = check.examine(input);
    const verdict = answer instanceof Promise ? await answer : answer;
    if (verdict.reason !== undefined) return verdict;
    const { secret, messageId, wouldRefuse, turn } = verdict;
    entry.secret = secret ?? entry.secret;
    entry.messageId = messageId ?? entry.messageId;
    if (wouldRefuse !== undefined) report(entry, wouldRefuse.reason);
    const missed = turn && (await awaitTurn(turn, entry, sender));
    if (missed !== undefined) return missed;
  }
  return undefined;
}

/** Whether a message is wanted; with a filter in report mode each one is, and the entry says which would not have been. */
export function sift({ route, message, entry }: Request): 'wanted' | 'unwanted' | Refusal {
  const found = route.filter?.(message.body) ?? 'wanted';
  if (found === 'wanted' || !route.filterReports) return found;
  report(entry, found === 'unwanted' ? 'filter.unwanted' : found.reason);
  return 'wanted';
}

function report(entry: Entry, reason: Reported): void {
  entry.wouldRefuse = [...(entry.wouldRefuse ?? []), reason];
}

/** A sender that leaves leaves its place in the line too, and what was read of its body is freed. */
async function awaitTurn(turn: Turn, entry: Entry, sender: Sender): Promise<Refusal | undefined> {
  const startedMs = performance.now();
  if (sender.isGone) turn.giveUp(GONE);
  sender.onGone = () => turn.giveUp(GONE);
  const missed = await turn.come;
  sender.onGone = undefined;
  entry.waitedMs = (entry.waitedMs ?? 0) + performance.now() - startedMs;
  return missed;
}
