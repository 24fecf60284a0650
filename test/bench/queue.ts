/**
 * How many events a second are acknowledged once they are on disk, beside the disk itself, memory, forwarding and
 * Redis: `node test/bench/queue.ts`. See README.md beside this file.
 */
import { parseArgs } from 'node:util';
import { prepareGround } from './ground.ts';
import { median } from './measure.ts';
import { type Accepting, measureAccepting } from './queue/accepting.ts';
import { measureDisk } from './queue/disk.ts';
import { openSubjects, type Subject } from './queue/subjects.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    requests: { type: 'string', default: '10000' },
    connections: { type: 'string', default: '64' },
  },
});
const [rounds, requests, connections] = [values.rounds, values.requests, values.connections].map(Number) as [
  number,
  number,
  number,
];
const ground = await prepareGround('node');
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => ground.close().finally(() => process.exit(1)));
}
try {
  await run();
} finally {
  await ground.close();
}

async function run(): Promise<void> {
  const { subjects, close } = await openSubjects(ground);
  try {
    const found = new Map<Subject, Accepting[]>(subjects.map((subject) => [subject, []]));
    const disk: number[] = [];
    // The first round makes V8 compile the whole path, and does not count.
    for (let round = 0; round <= rounds; round += 1) {
      const rate = measureDisk(ground.folder);
      if (round > 0) disk.push(rate);
      console.log(`round ${round}/${rounds} the disk alone: ${Math.round(rate)} syncs/s`);
      for (const subject of subjects) {
        const one = await measureAccepting(ground, subject, { requests, connections });
        if (round > 0) found.get(subject)?.push(one);
        console.log(`round ${round}/${rounds} ${subject.title}: ${Math.round(one.perSecond)}/s`);
      }
    }
    show(found, disk);
  } finally {
    await close();
  }
}

function show(found: ReadonlyMap<Subject, readonly Accepting[]>, disk: readonly number[]): void {
  const last = [...found.values()].at(-1) ?? [];
  const lines = [...found].map(([{ title }, all]) => {
    const middle = (pick: (one: Accepting) => number | undefined): number =>
      median(all.map((one) => pick(one) ?? Number.NaN));
    const ratio = median(all.map(({ perSecond }, at) => perSecond / (last[at] as Accepting).perSecond));
    const cells = [
      whole(middle(({ perSecond }) => perSecond)),
      ratio.toFixed(2),
      whole(middle(({ deliveredPerSecond }) => deliveredPerSecond)),
      middle(({ cpuPer10k }) => cpuPer10k).toFixed(2),
      ms(middle(({ p50Ms }) => p50Ms)),
      ms(middle(({ p99Ms }) => p99Ms)),
      ms(middle(({ loopP99Ms }) => loopP99Ms)),
    ];
    return `| ${title} | ${cells.join(' | ')} |`;
  });
  const rates = disk.map(Math.round).toSorted((one, other) => one - other);
  console.log(`\nthe disk alone, 4 KiB appended and confirmed, one at a time: ${whole(median(disk))}/s`);
  console.log(`(${rates.at(0)} to ${rates.at(-1)} over the rounds)\n`);
  console.log(`${requests} events over ${connections} connections, medians of ${rounds} rounds\n`);
  console.log(
    '| who | acknowledged/s | x the last row | with delivery/s | CPU s / 10,000 | p50 | p99 | loop p99 |',
  );
  console.log(`| --- |${' --- |'.repeat(7)}`);
  console.log(lines.join('\n'));
}

function whole(value: number): string {
  return Number.isNaN(value) ? '' : Math.round(value).toLocaleString('en-US');
}

function ms(value: number): string {
  if (Number.isNaN(value)) return '';
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
