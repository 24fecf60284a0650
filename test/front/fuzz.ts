import fc from 'fast-check';
import { type Comparison, compare } from './compare.ts';
import { type CorpusCase, FOUND } from './corpus.ts';
import { streams } from './generate.ts';
import { shrink } from './shrink.ts';

/** What a run has done so far. */
export interface Tally {
  cases: number;
  /** Cases of which the front let at least one request in: only these prove anything. */
  accepted: number;
}

/** A byte stream that the front and llhttp read differently. */
export interface Finding {
  /** A run with this seed meets it among its first cases. */
  readonly seed: number;
  readonly found: Buffer;
  /** The same difference, or another one, in as few bytes as were found. */
  readonly shrunk: Buffer;
  /** Of the shrunk bytes. */
  readonly difference: string;
}

export interface FuzzOptions {
  readonly corpus: readonly CorpusCase[];
  readonly seed: number;
  /** Asked before every batch: time may end a run, but never changes what it tries. */
  readonly goesOn: (tally: Readonly<Tally>) => boolean;
  readonly tally?: Tally;
  readonly comparing?: (bytes: Buffer) => Comparison;
}

/** Seeds are 31 bits; each batch has the next one. */
export const MOST_SEED = 2 ** 31 - 1;
const BATCH = 250;

/**
 * Compares streams, a batch at a time, until `goesOn` says no or one is read differently. What it tries depends on
 * the seed and the corpus alone; cases that the fuzzer itself has added do not change it.
 */
export async function fuzz(options: FuzzOptions): Promise<Finding | undefined> {
  const { seed, goesOn, comparing = compare } = options;
  const tally = options.tally ?? { cases: 0, accepted: 0 };
  const arbitrary = streams(options.corpus.filter(({ name }) => !name.startsWith(FOUND)));
  for (let batch = 0; goesOn(tally); batch += 1) {
    const batchSeed = (seed + batch) % (MOST_SEED + 1);
    for (const text of fc.sample(arbitrary, { seed: batchSeed, numRuns: BATCH })) {
      const bytes = Buffer.from(text, 'latin1');
      const { accepted, difference } = comparing(bytes);
      tally.cases += 1;
      if (accepted > 0) tally.accepted += 1;
      if (difference === undefined) continue;
      const shrunk = await shrink(bytes, (fewer) => comparing(fewer).difference !== undefined);
      return {
        seed: batchSeed,
        found: bytes,
        shrunk,
        difference: comparing(shrunk).difference as string,
      };
    }
    // Signals are heard, and what the oracle has closed is cleared away.
    await new Promise(setImmediate);
  }
  return undefined;
}
