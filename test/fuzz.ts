import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { DOOR_FOLDER } from './door/corpus.ts';
import { fuzzDoor } from './door/fuzz.ts';
import { CORPUS_FOLDER, FOUND, readCorpus } from './front/corpus.ts';
import { fuzz, MOST_SEED } from './front/fuzz.ts';
import { endAll } from './support/ending.ts';

const USAGE = `Usage: npm run fuzz -- [--door] [--minutes N] [--seed N] [--path P]
Compares what the front reads in made-up byte streams with what llhttp reads, for N minutes (10).
With --door: has made-up senders talk to a running gateway, and compares what they and the upstream
get with what a model says; --path tries one finding of an earlier run again.
Exits with 0 when nothing was found or on SIGINT and SIGTERM, 1 on a difference, 2 for bad arguments.`;
const PROGRESS_MS = 60_000;

interface Options {
  readonly door: boolean;
  readonly minutes: number;
  readonly seed: number;
  readonly path: string | undefined;
}

/** `undefined`: the arguments are wrong. */
function readOptions(): Options | undefined {
  try {
    const text = { type: 'string' } as const;
    const { values } = parseArgs({
      options: { door: { type: 'boolean' }, minutes: text, seed: text, path: text },
    });
    const { door = false, minutes = '10', seed = String(Date.now() % MOST_SEED), path } = values;
    const isSound = /^\d+(\.\d+)?$/.test(minutes) && Number(minutes) > 0 && /^\d{1,10}$/.test(seed);
    if (!isSound || Number(seed) > MOST_SEED) return undefined;
    if (path !== undefined && (!door || values.seed === undefined || !/^\d+(:\d+)*$/.test(path)))
      return undefined;
    return { door, minutes: Number(minutes), seed: Number(seed), path };
  } catch {
    return undefined;
  }
}

/** Runs until its time is over, a signal comes, or something is found; says once a minute how far it is. */
interface Watch {
  readonly goesOn: () => boolean;
  /** The last word on how far it came. */
  readonly end: () => void;
}

function watch(minutes: number, describe: (seconds: number) => string): Watch {
  // From the first question on: a gateway takes its time to start.
  let startMs: number | undefined;
  let interrupted = false;
  let progressMs = 0;
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.once(signal, () => {
      interrupted = true;
    });
  const summary = (): string => {
    const nowMs = performance.now();
    const seconds = (nowMs - (startMs ?? nowMs)) / 1000;
    return `${(seconds / 60).toFixed(1)} min: ${describe(seconds)}`;
  };
  return {
    goesOn: () => {
      const nowMs = performance.now();
      if (startMs === undefined) {
        startMs = nowMs;
        progressMs = nowMs + PROGRESS_MS;
      }
      if (nowMs >= progressMs) {
        progressMs = nowMs + PROGRESS_MS;
        console.log(summary());
      }
      return !interrupted && nowMs < startMs + minutes * 60_000;
    },
    end: () => console.log(`${interrupted ? 'interrupted: ' : ''}${summary()}`),
  };
}

async function fuzzTheFront({ minutes, seed }: Options): Promise<number> {
  const tally = { cases: 0, accepted: 0 };
  const { goesOn, end } = watch(minutes, (seconds) => {
    const share = ((100 * tally.accepted) / Math.max(tally.cases, 1)).toFixed(1);
    return `${tally.cases} cases, ${share}% accepted, ${Math.round(tally.cases / seconds)} cases/s`;
  });
  const finding = await fuzz({ corpus: readCorpus(), seed, tally, goesOn });
  end();
  if (finding === undefined) return 0;
  const { found, shrunk, difference } = finding;
  console.log(`A difference: ${difference}`);
  console.log(
    `The bytes, shrunk from ${found.length} to ${shrunk.length}: ${JSON.stringify(shrunk.toString('latin1'))}`,
  );
  keep(CORPUS_FOLDER, shrunk);
  console.log(`To meet it again: npm run fuzz -- --seed ${finding.seed}`);
  return 1;
}

async function fuzzTheDoor({ minutes, seed, path }: Options): Promise<number> {
  const tally = { runs: 0, answered: 0, delivered: 0 };
  const { goesOn, end } = watch(minutes, (seconds) => {
    const share = ((100 * tally.delivered) / Math.max(tally.answered, 1)).toFixed(1);
    const speed = Math.round(tally.answered / seconds);
    return `${tally.runs} runs, ${tally.answered} requests, ${share}% delivered, ${speed} requests/s`;
  });
  const finding = await fuzzDoor({ seed, path, tally, goesOn }).finally(endAll);
  end();
  if (finding === undefined) return 0;
  const { speeches, difference } = finding;
  console.log(`A difference: ${difference}`);
  console.log(`What was sent: ${JSON.stringify(speeches)}`);
  for (const { text } of speeches) keep(DOOR_FOLDER, Buffer.from(text, 'latin1'));
  console.log(`To meet it again: npm run fuzz -- --door --seed ${finding.seed} --path ${finding.path}`);
  return 1;
}

function keep(folder: string, bytes: Buffer): void {
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 12);
  const file = `${folder}${FOUND}${digest}.http`;
  writeFileSync(file, bytes);
  console.log(`It is kept in ${file}`);
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === undefined) {
    console.error(USAGE);
    return 2;
  }
  console.log(`seed ${options.seed}, ${options.minutes} minutes`);
  return options.door ? await fuzzTheDoor(options) : await fuzzTheFront(options);
}

process.exitCode = await main();
