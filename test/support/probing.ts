import { type ProbeOptions, planProbe } from '../../src/cli/probe/options.ts';
import { type Pace, type Result, runCases } from '../../src/cli/probe/run.ts';

/** Runs every case of a probe in this process, and gives the results by case. */
export async function probe(
  url: string,
  typed: Partial<ProbeOptions>,
  pace: Partial<Pace> = {},
): Promise<Result[]> {
  const own = { sender: 'codat', configFolder: 'config', certificate: true, signature: true };
  const plan = await planProbe(url, { ...own, ...typed });
  return runCases(plan.stage, plan.cases, { ...plan.pace, ...pace }, () => {});
}

/** The names of the cases that came to this. */
export function named(results: readonly Result[], verdict: Result['verdict']): string[] {
  return results.filter((result) => result.verdict === verdict).map(({ case: each }) => each.name);
}
