import { median } from '../measure.ts';
import type { Judgement } from './judge.ts';
import type { Kill } from './kills.ts';
import type { Cuts } from './power-cuts.ts';
import { CONCURRENCY } from './scene.ts';
import type { Senders } from './senders.ts';

type Row = readonly [string, string | number];

/** Prints what came of a run with kills, and whether all that is promised held. */
export function reportKills(kills: readonly Kill[], senders: Senders, found: Judgement): boolean {
  const costs = kills.map((kill) => ({ kill, ...cost(found, kill) }));
  const most = Math.max(0, ...costs.map(({ repeated }) => repeated.length));
  const known = costs.filter(({ kill }) => kill.leased !== undefined);
  const notLeased = known.flatMap(({ kill, repeated }) => repeated.filter((id) => !kill.leased?.has(id)));
  print([
    [
      'kills; of these before the gateway listened',
      `${kills.length}; ${kills.filter((kill) => kill.listenedUs === undefined).length}`,
    ],
    ['from a start to listening, median', `${Math.round(median(startsMs(kills)))} ms`],
    ...rowsOf(senders, found),
    ['under way at the upstream when killed, in all', sum(costs.map(({ underWay }) => underWay))],
    ...(known.length === 0
      ? []
      : ([
          ['leased when killed, in all', sum(known.map(({ kill }) => kill.leased?.size ?? 0))],
          ['repeats of events that were not leased', notLeased.length],
        ] as const)),
    ['repeats for one kill, most; allowed', `${most}; ${CONCURRENCY}`],
    ['repeats that no kill explains', found.unexplained.length],
    ['repeats that did not say so', found.unmarked.length],
  ]);
  return verdict({
    'acknowledged and not delivered': found.lost,
    'repeated, though not leased': notLeased,
    'repeated, though nothing was killed': found.unexplained,
    'repeated with the attempt of the delivery before': found.unmarked,
    'kills with more repeats than deliveries may be under way': costs
      .filter(({ repeated }) => repeated.length > CONCURRENCY)
      .map(({ kill }) => kill.gateway),
  });
}

/** The same for a run with power failures, after which a settled delivery may be made again. */
export function reportCuts(
  { crashes, unconfirmed, missing }: Cuts,
  senders: Senders,
  found: Judgement,
): boolean {
  print([
    ['power failures', crashes.length],
    ['writes that no sync had confirmed then, in all', unconfirmed],
    ['acknowledged and not in the state file afterwards', missing.length],
    ...rowsOf(senders, found),
  ]);
  return verdict({
    'acknowledged and not in the state file afterwards': missing,
    'acknowledged and not delivered': found.lost,
    'repeated, though the power had not failed': found.unexplained,
  });
}

function rowsOf({ acknowledged, figures }: Senders, found: Judgement): readonly Row[] {
  return [
    ['events acknowledged with a 2xx', acknowledged.size],
    ['of these as duplicates: their 202 had been lost', figures.duplicates],
    ['attempts without an answer; refused', `${figures.unanswered}; ${figures.refused}`],
    ['deliveries taken by the upstream', found.taken],
    ['acknowledged and not delivered', found.lost.length],
    ['delivered once more', found.repeats],
  ];
}

function startsMs(kills: readonly Kill[]): number[] {
  return kills.flatMap(({ startedUs, listenedUs }) =>
    listenedUs === undefined ? [] : [(listenedUs - startedUs) / 1000],
  );
}

function cost({ costs }: Judgement, kill: Kill) {
  return costs.get(kill) ?? { underWay: 0, repeated: [] };
}

function print(rows: readonly Row[]): void {
  console.log(
    ['| what | figure |', '| --- | --- |', ...rows.map(([what, it]) => `| ${what} | ${it} |`)].join('\n'),
  );
}

const SHOWN = 10;

function verdict(faults: Readonly<Record<string, readonly string[]>>): boolean {
  const found = Object.entries(faults).filter(([, which]) => which.length > 0);
  for (const [what, which] of found)
    console.log(`MISSED ${what}: ${which.length}, such as ${which.slice(0, SHOWN).join(' ')}`);
  if (found.length === 0) console.log('PASS');
  return found.length === 0;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
