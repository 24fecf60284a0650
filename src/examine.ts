import type { Entry } from './record/entry.ts';
import type { Check, Refusal } from './types.ts';

/**
 * Asks a route's checks in their order, and writes into the entry what they prove, or would have refused.
 * @returns the first refusal; `undefined`: all of them passed
 */
export async function examine<In>(
  checks: readonly Check<In>[],
  input: In,
  entry: Entry,
): Promise<Refusal | undefined> {
  for (const check of checks) {
    const answer = check.examine(input);
    const verdict = answer instanceof Promise ? await answer : answer;
    if (verdict.reason !== undefined) return verdict;
    const { secret, messageId, wouldRefuse, waitedMs } = verdict;
    entry.secret = secret ?? entry.secret;
    entry.messageId = messageId ?? entry.messageId;
    if (wouldRefuse !== undefined) entry.wouldRefuse = [...(entry.wouldRefuse ?? []), wouldRefuse.reason];
    if (waitedMs !== undefined) entry.waitedMs = (entry.waitedMs ?? 0) + waitedMs;
  }
  return undefined;
}
