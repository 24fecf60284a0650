import type { Check, Verdict } from '../types.ts';

/**
 * The same check in report mode: it refuses nothing, says what it would have refused, and then has proved nothing.
 * @param always what it refuses all the same: what is not this check's to report
 */
export function reported<In>({ name, examine }: Check<In>, always?: (input: In) => Verdict): Check<In> {
  const told = (verdict: Verdict): Verdict =>
    verdict.reason === undefined ? verdict : { wouldRefuse: verdict };
  return {
    name,
    reports: true,
    examine: (input) => {
      const first = always?.(input);
      if (first?.reason !== undefined) return first;
      const answer = examine(input);
      return answer instanceof Promise ? answer.then(told) : told(answer);
    },
  };
}
