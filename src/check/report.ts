import type { Check, Verdict } from '../types.ts';

/** The same check in report mode: it refuses nothing, says what it would have refused, and then has proved nothing. */
export function reported<In>({ name, examine }: Check<In>): Check<In> {
  const told = (verdict: Verdict): Verdict =>
    verdict.reason === undefined ? verdict : { wouldRefuse: verdict };
  return {
    name,
    examine: (input) => {
      const answer = examine(input);
      return answer instanceof Promise ? answer.then(told) : told(answer);
    },
  };
}
