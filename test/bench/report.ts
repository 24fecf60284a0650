import { median } from './measure.ts';
import type { ThreadProfile } from './profile.ts';
import type { Trial } from './trial.ts';

const PROFILE_LINES = 25;

/** The medians of one gateway's rounds. */
export interface Summary {
  readonly name: string;
  readonly cpuSecondsPer10k: number;
  /** The median over the rounds of this gateway's CPU over HAProxy's in the same round. */
  readonly timesHaproxy: number | undefined;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The worst of all rounds, not a median: a stalled event loop shows here. */
  readonly maxMs: number;
  readonly rssMib: number;
  /** Time spent waiting for a core, in percent of the CPU time: where it is large, the machine was too busy to measure. */
  readonly waitedPercent: number;
}

/** Folds the rounds of one gateway; `base` are HAProxy's rounds, in the same order. */
export function summarise(
  name: string,
  trials: readonly Trial[],
  base: readonly Trial[] | undefined,
): Summary {
  const middle = (pick: (trial: Trial, round: number) => number) => round(median(trials.map(pick)));
  return {
    name,
    cpuSecondsPer10k: middle(cpuPer10k),
    timesHaproxy:
      base && middle((trial, index) => trial.cpuSeconds / (base[index]?.cpuSeconds ?? Number.NaN)),
    requestsPerSecond: Math.round(middle(({ load }) => countOf(load.statuses) / load.seconds)),
    p50Ms: middle(({ load }) => load.p50Ms),
    p99Ms: middle(({ load }) => load.p99Ms),
    maxMs: round(Math.max(...trials.map(({ load }) => load.maxMs))),
    rssMib: middle(({ rssAfterKib }) => rssAfterKib / 1024),
    waitedPercent: middle(waitedPercent),
  };
}

/** CPU seconds the gateway would use for 10,000 such requests. */
export function cpuPer10k({ cpuSeconds, load }: Trial): number {
  return (cpuSeconds / countOf(load.statuses)) * 10_000;
}

function waitedPercent({ waitedSeconds, cpuSeconds }: Trial): number {
  return (100 * waitedSeconds) / cpuSeconds;
}

export function printSummaries(summaries: readonly Summary[]): void {
  const heads = [
    'gateway',
    'CPU s / 10,000',
    'x HAProxy',
    'req/s',
    'p50 ms',
    'p99 ms',
    'max ms',
    'RSS MiB',
    'waited %',
  ];
  const rows = summaries.map((one) => [
    one.name,
    one.cpuSecondsPer10k.toFixed(2),
    one.timesHaproxy?.toFixed(2) ?? '-',
    String(one.requestsPerSecond),
    one.p50Ms.toFixed(1),
    one.p99Ms.toFixed(1),
    one.maxMs.toFixed(1),
    one.rssMib.toFixed(0),
    one.waitedPercent.toFixed(0),
  ]);
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ');
  console.log([heads, ...rows].map(line).join('\n'));
}

export function printProfiles(threads: readonly ThreadProfile[], requests: number): void {
  for (const { file, busyUs, functions } of threads) {
    console.log(`\n${file}: ${(busyUs / requests).toFixed(1)} us a request; self time, us a request:`);
    for (const { name, us } of functions.slice(0, PROFILE_LINES)) {
      console.log(
        `${(us / requests).toFixed(2).padStart(8)} ${((100 * us) / busyUs).toFixed(1).padStart(5)}%  ${name}`,
      );
    }
  }
}

function countOf(statuses: Readonly<Record<string, number>>): number {
  return Object.values(statuses).reduce((sum, count) => sum + count, 0);
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
