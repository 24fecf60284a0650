import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CORPUS_FOLDER, FOUND, readCorpus } from './front/corpus.ts';
import { type Finding, fuzz, MOST_SEED, type Tally } from './front/fuzz.ts';

const USAGE = `Usage: npm run fuzz -- [--minutes N] [--seed N]
Compares what the front reads in made-up byte streams with what llhttp reads, for N minutes (10).
Exits with 0 when nothing was found or on SIGINT, 1 on a difference, 2 for bad arguments.`;
const PROGRESS_MS = 60_000;

interface Options {
  readonly minutes: number;
  readonly seed: number;
}

/** `undefined`: the arguments are wrong. */
function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } });
    const { minutes = '10', seed = String(Date.now() % MOST_SEED) } = values;
    const isSound = /^\d+(\.\d+)?$/.test(minutes) && Number(minutes) > 0 && /^\d{1,10}$/.test(seed);
    if (!isSound || Number(seed) > MOST_SEED) return undefined;
    return { minutes: Number(minutes), seed: Number(seed) };
  } catch {
    return undefined;
  }
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === undefined) {
    console.error(USAGE);
    return 2;
  }
  const { minutes, seed } = options;
  const startMs = performance.now();
  const tally: Tally = { cases: 0, accepted: 0 };
  let interrupted = false;
  let progressMs = startMs + PROGRESS_MS;
  process.once('SIGINT', () => {
    interrupted = true;
  });
  console.log(`seed ${seed}, ${minutes} minutes`);
  const finding = await fuzz({
    corpus: readCorpus(),
    seed,
    tally,
    goesOn: () => {
      const nowMs = performance.now();
      if (nowMs >= progressMs) {
        progressMs = nowMs + PROGRESS_MS;
        console.log(summary(tally, nowMs - startMs));
      }
      return !interrupted && nowMs < startMs + minutes * 60_000;
    },
  });
  console.log(`${interrupted ? 'interrupted: ' : ''}${summary(tally, performance.now() - startMs)}`);
  if (finding === undefined) return 0;
  report(finding);
  return 1;
}

function summary({ cases, accepted }: Tally, elapsedMs: number): string {
  const share = ((100 * accepted) / Math.max(cases, 1)).toFixed(1);
  const speed = Math.round(cases / (elapsedMs / 1000));
  return `${(elapsedMs / 60_000).toFixed(1)} min: ${cases} cases, ${share}% accepted, ${speed} cases/s`;
}

function report({ seed, found, shrunk, difference }: Finding): void {
  const digest = createHash('sha256').update(shrunk).digest('hex').slice(0, 12);
  const file = `${CORPUS_FOLDER}${FOUND}${digest}.http`;
  writeFileSync(file, shrunk);
  console.log(`A difference: ${difference}`);
  console.log(
    `The bytes, shrunk from ${found.length} to ${shrunk.length}: ${JSON.stringify(shrunk.toString('latin1'))}`,
  );
  console.log(`They are kept in ${file}`);
  console.log(`To meet it again: npm run fuzz -- --seed ${seed}`);
}

process.exitCode = await main();
