import fc from 'fast-check';
import { FOUND } from '../front/corpus.ts';
import { MOST_SEED } from '../front/fuzz.ts';
import { shrink } from '../front/shrink.ts';
import { doorFiles } from './corpus.ts';
import { type DoorTally, differenceOf, type SayOptions } from './difference.ts';
import { type Speech, speeches } from './generate.ts';
import { startWorld, type World } from './world.ts';

/** Something that came out otherwise than the model says. */
export interface DoorFinding {
  /** With these two, fast-check meets the same speeches again at once. */
  readonly seed: number;
  readonly path: string;
  /** In as few and as short as were found; with placeholders, as a file of the corpus. */
  readonly speeches: readonly Speech[];
  readonly difference: string;
}

export interface DoorFuzzOptions extends SayOptions {
  readonly tally: DoorTally;
  readonly seed: number;
  /** Of an earlier finding with this seed: that one is tried, and nothing else. */
  readonly path?: string | undefined;
  /** Asked before every batch: time may end a run, but never changes what it tries. */
  readonly goesOn: () => boolean;
}

const BATCH = 50;
/** What a gateway and a recorder remember is dropped with them. */
const BATCHES_IN_A_WORLD = 100;
/** Shrinking ends then, with the least that was found: a gateway that does not answer is waited for each time. */
const MOST_BATCH_MS = 120_000;
const MOST_SHRINK_MS = 60_000;
/** A head of 16 KiB takes the time of a hundred others. */
const MOST_KNOWN_BYTES = 2048;
/** Several, so that the requests of several senders are under way at once. */
const CONNECTIONS = 4;

/** What is tried with a seed depends on nothing else but the corpus; cases that the fuzzer has added do not change it. */
export function doorSpeeches(): fc.Arbitrary<Speech[]> {
  const known = doorFiles().filter(
    ({ name, text }) => !name.startsWith(FOUND) && text.length < MOST_KNOWN_BYTES,
  );
  return speeches(known.map(({ text }) => text));
}

/** Lets made-up senders loose on the whole gateway, a batch at a time, until `goesOn` says no or the model is contradicted. */
export async function fuzzDoor(options: DoorFuzzOptions): Promise<DoorFinding | undefined> {
  const { seed, path, goesOn } = options;
  const arbitrary = doorSpeeches();
  let world = await startWorld(CONNECTIONS);
  try {
    for (let batch = 0; goesOn(); batch += 1) {
      if (batch > 0 && batch % BATCHES_IN_A_WORLD === 0) {
        await close(world);
        world = await startWorld(CONNECTIONS);
      }
      const property = fc.asyncProperty(arbitrary, async (all) => {
        const difference = await differenceOf(world, all, options);
        if (difference !== undefined) throw new Error(difference);
      });
      const { failed, counterexample, counterexamplePath, errorInstance } = await fc.check(property, {
        seed: (seed + batch) % (MOST_SEED + 1),
        interruptAfterTimeLimit: MOST_BATCH_MS,
        ...(path === undefined ? { numRuns: BATCH } : { path, numRuns: 1, endOnFailure: true }),
      });
      if (failed && counterexample !== null) {
        const difference = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
        const least = await leastOf(world, counterexample[0], difference, options);
        return { seed: (seed + batch) % (MOST_SEED + 1), path: counterexamplePath ?? '', ...least };
      }
      if (path !== undefined) break;
    }
    return undefined;
  } finally {
    await close(world);
  }
}

async function close({ gateway, recorder }: World): Promise<void> {
  await gateway.stop();
  await recorder.close();
}

/** Of one sender, where it is enough, every byte is left out that can be. */
async function leastOf(
  world: World,
  found: readonly Speech[],
  difference: string,
  { soften }: SayOptions,
): Promise<Pick<DoorFinding, 'speeches' | 'difference'>> {
  const say = (bytes: Buffer): Promise<string | undefined> =>
    differenceOf(
      world,
      [{ text: bytes.toString('latin1'), cuts: [] }],
      soften === undefined ? {} : { soften },
    );
  const endMs = performance.now() + MOST_SHRINK_MS;
  for (const { text } of found) {
    const bytes = Buffer.from(text, 'latin1');
    if ((await say(bytes)) === undefined) continue;
    const fewer = await shrink(
      bytes,
      async (some) => performance.now() < endMs && (await say(some)) !== undefined,
    );
    const speeches = [{ text: fewer.toString('latin1'), cuts: [] }];
    return { speeches, difference: (await say(fewer)) ?? difference };
  }
  return { speeches: found, difference };
}
