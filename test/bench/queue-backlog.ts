/**
 * What a backlog costs: `node test/bench/queue-backlog.ts`. See README.md beside this file.
 */
import { execFileSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ORDINARY } from './event.ts';
import { prepareGround } from './ground.ts';
import { median, readCpuTime, readRssKib } from './measure.ts';
import { BODY_BYTES, type Depth, openDepth } from './queue/depths.ts';
import { startLoad } from './trial.ts';

const SETTLE_MS = 500;
/** What must stay flat may differ by this much. */
const FLAT = 0.2;

const { values } = parseArgs({
  options: {
    depths: { type: 'string', default: '100000,1000000' },
    rounds: { type: 'string', default: '9' },
    requests: { type: 'string', default: '10000' },
    connections: { type: 'string', default: '64' },
  },
});
const depths = values.depths.split(',').map(Number);
const [rounds, requests, connections] = [values.rounds, values.requests, values.connections].map(Number) as [
  number,
  number,
  number,
];
const ground = await prepareGround('node');
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => ground.close().finally(() => process.exit(1)));
}

/** What one gateway did in one round. */
interface Figures {
  readonly acceptedPerSecond: number;
  readonly acceptCpu: number;
  readonly deliveredPerSecond: number;
  readonly deliverCpu: number;
  readonly rssMib: number;
}

const opened: Depth[] = [];
try {
  for (const [count, waits] of [
    [0, true],
    ...depths.flatMap((count) => [
      [count, true],
      [count, false],
    ]),
  ] as [number, boolean][]) {
    const depth = await openDepth(ground, count, waits);
    opened.push(depth);
    console.log(`${nameOf(depth)}: started within ${depth.startSeconds.toFixed(1)} s`);
  }
  // Gigabytes that are still on their way to the disk would be in the way of every sync.
  execFileSync('sync');
  show(await measure());
} finally {
  for (const { gate } of opened) gate.close();
  await ground.close();
}

/** In turn, so that whatever the machine does meanwhile falls on all; the first round only warms them. */
async function measure(): Promise<ReadonlyMap<Depth, readonly Figures[]>> {
  const found = new Map<Depth, Figures[]>(opened.map((depth) => [depth, []]));
  for (let round = 0; round <= rounds; round += 1) {
    // Each goes first in turn.
    const order = [...opened.slice(round % opened.length), ...opened.slice(0, round % opened.length)];
    for (const depth of order) {
      const one = await measureOne(depth);
      if (round > 0) found.get(depth)?.push(one);
      console.log(
        `round ${round}/${rounds} ${nameOf(depth)}: accepts ${Math.round(one.acceptedPerSecond)}/s, ` +
          `delivers ${Math.round(one.deliveredPerSecond)}/s, ${Math.round(one.rssMib)} MiB`,
      );
    }
  }
  return found;
}

/** Accepts events while none is delivered, then delivers as many: the depth stays. */
async function measureOne({ peer, gate }: Depth): Promise<Figures> {
  const shape = { ...ORDINARY, bodyBytes: BODY_BYTES };
  const cpu = () => readCpuTime(peer.pid).usedSeconds;
  const load = await startLoad(ground, peer, { shape, requests, connections });
  const start = cpu();
  const { statuses, seconds } = await load.go();
  if (statuses[202] !== requests) throw new Error(`not every answer was 202: ${JSON.stringify(statuses)}`);
  await pause(SETTLE_MS);
  load.release();
  const accepted = cpu();
  const deliveringSeconds = await gate.pass(requests);
  await pause(SETTLE_MS);
  return {
    acceptedPerSecond: requests / seconds,
    acceptCpu: ((accepted - start) / requests) * 10_000,
    deliveredPerSecond: requests / deliveringSeconds,
    deliverCpu: ((cpu() - accepted) / requests) * 10_000,
    rssMib: readRssKib(peer.pid) / 1024,
  };
}

function nameOf({ count, waits }: Depth): string {
  const number = count.toLocaleString('en-US');
  return waits ? `${number} deep` : `${number} remembered, all delivered`;
}

function show(found: ReadonlyMap<Depth, readonly Figures[]>): void {
  const middle = (depth: Depth, pick: (one: Figures) => number) => median((found.get(depth) ?? []).map(pick));
  const rows = opened.map((depth) => {
    const { file, log } = depth.sizes();
    const cells = [
      whole(middle(depth, (one) => one.acceptedPerSecond)),
      middle(depth, (one) => one.acceptCpu).toFixed(2),
      whole(middle(depth, (one) => one.deliveredPerSecond)),
      middle(depth, (one) => one.deliverCpu).toFixed(2),
      `${whole(middle(depth, (one) => one.rssMib))} MiB`,
      `${whole(file / 2 ** 20)} + ${whole(log / 2 ** 20)} MiB`,
      depth.count === 0 ? '' : `${whole(depth.filledBytes / depth.count)} B`,
      `${depth.startSeconds.toFixed(1)} s`,
    ];
    return `| ${nameOf(depth)} | ${cells.join(' | ')} |`;
  });
  console.log(
    `\n| state | accepted/s | CPU s / 10,000 | delivered/s | CPU s / 10,000 | resident | file + log | an event | start |`,
  );
  console.log(`| --- |${' --- |'.repeat(8)}\n${rows.join('\n')}\n`);
  judge(found);
}

/** Against no backlog; memory against as many ids remembered with no backlog, since each costs its place in an index. */
function judge(found: ReadonlyMap<Depth, readonly Figures[]>): void {
  const [none] = opened as [Depth];
  const ratio = (depth: Depth, base: Depth, pick: (one: Figures) => number) =>
    median(
      (found.get(depth) ?? []).map((one, at) => pick(one) / pick((found.get(base) ?? [])[at] as Figures)),
    );
  const first = opened.find(({ count, waits }) => count > 0 && waits) ?? none;
  for (const depth of opened.filter(({ count, waits }) => count > 0 && waits)) {
    const delivered = opened.find(({ count, waits }) => count === depth.count && !waits) ?? none;
    const name = nameOf(depth);
    say(`${name}: accept rate`, 1 / ratio(depth, none, (one) => one.acceptedPerSecond));
    say(
      `${name}: CPU to accept`,
      ratio(depth, none, (one) => one.acceptCpu),
    );
    say(`${name}: delivery rate`, 1 / ratio(depth, none, (one) => one.deliveredPerSecond));
    say(
      `${name}: CPU to deliver`,
      ratio(depth, none, (one) => one.deliverCpu),
    );
    say(
      `${name}: resident memory, x as many remembered`,
      ratio(depth, delivered, (one) => one.rssMib),
    );
    say(
      `${name}: bytes an event, x ${nameOf(first)}`,
      depth.filledBytes / depth.count / (first.filledBytes / first.count),
    );
  }
}

/** @param cost 1: the same; more: dearer, slower or larger than it should be */
function say(what: string, cost: number): void {
  const holds = cost <= 1 + FLAT;
  if (!holds) process.exitCode = 1;
  console.log(`${holds ? 'PASS' : 'MISSED'} ${what}: ${cost.toFixed(2)}`);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
