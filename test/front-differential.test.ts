import { describe, expect, test } from 'vitest';
import { compare } from './front/compare.ts';
import { readCorpus } from './front/corpus.ts';
import { type FuzzOptions, fuzz, MOST_SEED, type Tally } from './front/fuzz.ts';
import { describeReading, readByFront } from './front/read.ts';

/**
 * Whatever this front lets in, another strict parser (llhttp, through node:http) must read in the same way.
 * `FUZZ_SEED=n` repeats a run; `npm run fuzz` goes on for as long as it is told to.
 */
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % MOST_SEED);
const FUZZ_MS = 5000;
/** Cases that are refused prove nothing. */
const LEAST_ACCEPTED = 0.2;
const CORPUS = readCorpus();

const forSome = (ms: number): FuzzOptions['goesOn'] => {
  const endMs = performance.now() + ms;
  return () => performance.now() < endMs;
};

describe('the corpus', () => {
  // A change of behaviour is a change of that file: `npx vitest run front-differential -u` writes it anew.
  test('each case is let in or refused as the table says', async () => {
    const width = Math.max(...CORPUS.map(({ name }) => name.length));
    const lines = CORPUS.map(
      ({ name, bytes }) => `${name.padEnd(width)}  ${describeReading(readByFront(bytes))}\n`,
    );
    await expect(lines.join('')).toMatchFileSnapshot('corpus/front.txt');
  });

  test.each(CORPUS)('node:http reads alike what is let in: $name', ({ bytes }) => {
    expect(compare(bytes).difference).toBeUndefined();
  });
});

describe('made-up streams', () => {
  test(
    `what is let in is read alike by node:http (FUZZ_SEED=${SEED})`,
    async () => {
      const tally: Tally = { cases: 0, accepted: 0 };
      const finding = await fuzz({ corpus: CORPUS, seed: SEED, tally, goesOn: forSome(FUZZ_MS) });
      const shown = finding && { ...finding, shrunk: finding.shrunk.toString('latin1'), found: undefined };
      expect(shown, 'a stream that is read differently').toBeUndefined();
      expect(tally.cases).toBeGreaterThan(1000);
      expect(tally.accepted / tally.cases).toBeGreaterThan(LEAST_ACCEPTED);
      console.info(`FUZZ_SEED=${SEED}: ${tally.cases} cases, ${tally.accepted} accepted`);
    },
    FUZZ_MS * 6,
  );

  test('the same seed makes the same streams, however much time there is', async () => {
    const streamsOf = async (seed: number, cases: number): Promise<string[]> => {
      const seen: string[] = [];
      const comparing: FuzzOptions['comparing'] = (bytes) => {
        seen.push(bytes.toString('latin1'));
        return { accepted: 0, difference: undefined };
      };
      await fuzz({ corpus: CORPUS, seed, comparing, goesOn: (tally) => tally.cases < cases });
      return seen.slice(0, cases);
    };
    const long = await streamsOf(7, 1000);
    expect(await streamsOf(7, 600)).toEqual(long.slice(0, 600));
    expect(await streamsOf(8, 600)).not.toEqual(long.slice(0, 600));
  });
});

/** What a front that is too lenient in one point takes the bytes for; nothing moves. */
const LENIENT: readonly (readonly [string, (text: string) => string])[] = [
  ['Transfer-Encoding: xchunked', (text) => text.replace(/(Encoding:) xchunked/gi, '$1  chunked')],
  ['Content-Length: +5', (text) => text.replace(/(Length:) \+(?=\d)/gi, '$1  ')],
  ['a space before the colon', (text) => text.replace(/^(\S+) :/gm, '$1: ')],
  ['a bare line feed', (text) => text.replace(/([^\r])\n(?=[\w-]+:)/g, '$1 ')],
];

describe('a front that is too lenient is found out', () => {
  test.each(LENIENT)('%s', async (_what, soften) => {
    const lenient: FuzzOptions['comparing'] = (bytes) =>
      compare(bytes, (given) => readByFront(Buffer.from(soften(given.toString('latin1')), 'latin1')));
    const finding = await fuzz({
      corpus: CORPUS,
      seed: SEED,
      comparing: lenient,
      goesOn: forSome(FUZZ_MS),
    });
    expect(finding?.difference).toBeDefined();
    expect(lenient(finding?.shrunk as Buffer).difference).toBe(finding?.difference);
    expect(compare(finding?.shrunk as Buffer).difference).toBeUndefined();
  });
});
