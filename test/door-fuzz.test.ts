import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readDoorCorpus, readTable } from './door/corpus.ts';
import type { DoorTally } from './door/difference.ts';
import { doorSpeeches, fuzzDoor } from './door/fuzz.ts';
import { predict } from './door/model.ts';
import { describeHanded, PROBE } from './door/trial.ts';
import { MOST_SEED } from './front/fuzz.ts';

/**
 * Made-up senders against the whole gateway, and a model that says what must come of every byte. `DOOR_SEED=n` repeats
 * a run; `npm run fuzz -- --door` goes on for as long as it is told to.
 */
const SEED = Number(process.env.DOOR_SEED ?? Date.now() % MOST_SEED);
const FUZZ_MS = 6000;
const LENIENT_MS = 30_000;
/** Requests that are refused prove less. */
const LEAST_DELIVERED = 0.2;

const newTally = (): DoorTally => ({ runs: 0, answered: 0, delivered: 0 });
const forSome = (ms: number): (() => boolean) => {
  const endMs = performance.now() + ms;
  return () => performance.now() < endMs;
};

describe('the model', () => {
  const corpus = readDoorCorpus();

  test.each(readTable())('says what the table says: $name', ({ name, sender, upstream }) => {
    const { bytes, restore } = corpus.get(name) ?? expect.fail('no such case');
    const words = sender.split(', ');
    const end = words.pop();
    const behind = end === 'cut' ? '' : PROBE.toString('latin1');
    const { statuses, handed } = predict(bytes.toString('latin1') + behind);
    const answered = words
      .filter((word) => !word.startsWith('unanswered'))
      .map((word) => Number(word.slice(0, 3)));
    expect(statuses).toEqual(end === 'kept' ? [...answered, 200] : answered);
    const seen = handed.filter((one) => one !== undefined).filter(({ target }) => target !== '/probe');
    expect(seen.map((one) => restore(describeHanded(one)))).toEqual(upstream);
  });
});

describe('made-up senders', () => {
  test(
    `get what the model says, and so does the upstream (DOOR_SEED=${SEED})`,
    async () => {
      const tally = newTally();
      expect(await fuzzDoor({ seed: SEED, tally, goesOn: forSome(FUZZ_MS) })).toBeUndefined();
      expect(tally.answered).toBeGreaterThan(200);
      expect(tally.delivered / tally.answered).toBeGreaterThan(LEAST_DELIVERED);
      console.info(`DOOR_SEED=${SEED}: ${JSON.stringify(tally)}`);
    },
    FUZZ_MS * 15,
  );

  test('are the same for the same seed', () => {
    const said = (seed: number) => fc.sample(doorSpeeches(), { seed, numRuns: 50 });
    expect(said(7)).toEqual(said(7));
    expect(said(8)).not.toEqual(said(7));
  });
});

/** What a gateway that is too lenient in one point takes the bytes for. */
const LENIENT: readonly (readonly [string, (text: string) => string])[] = [
  [
    'Connection: authorization',
    (text) => text.replaceAll('Connection: authorization', 'Connection: keep-alive'),
  ],
  ['Authorization_', (text) => text.replaceAll('Authorization_:', 'Authorization:')],
  ['a look-alike path', (text) => text.replaceAll(/ \/(?:TOKEN|%74oken|VAULT\/x) /g, ' /open ')],
];

describe('a gateway that is too lenient is found out, and met again by seed and path', () => {
  test.each(LENIENT)(
    '%s',
    async (_what, soften) => {
      const found = await fuzzDoor({ seed: SEED, soften, tally: newTally(), goesOn: forSome(LENIENT_MS) });
      const { seed, path } = found ?? expect.fail('nothing was found');
      expect(found?.speeches).toHaveLength(1);
      const again = await fuzzDoor({ seed, path, soften, tally: newTally(), goesOn: () => true });
      expect(again?.difference).toBeDefined();
      expect(await fuzzDoor({ seed, path, tally: newTally(), goesOn: () => true })).toBeUndefined();
    },
    LENIENT_MS * 5,
  );
});
