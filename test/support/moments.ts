import fc from 'fast-check';

/** `CRASH_SEED=n` repeats the moments of a run, as far as two runs can be alike. */
export const SEED = Number(process.env.CRASH_SEED ?? Date.now() % 2 ** 31);

/** The same values for the same seed. */
export function drawn<T>(values: fc.Arbitrary<T>, count: number): T[] {
  return fc.sample(values, { seed: SEED, numRuns: count });
}
