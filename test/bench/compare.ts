import type { Peer } from './ground.ts';
import { median } from './measure.ts';
import type { PeerName } from './peers.ts';
import type { Trial } from './trial.ts';

/** The trials of each gateway, in the order of the rounds. */
export type Rounds = ReadonlyMap<PeerName, readonly Trial[]>;

/**
 * Measures every gateway once a round, in turn, so that whatever the machine does meanwhile falls on all of them.
 * @param what for the progress that is printed
 */
export async function takeTurns(
  what: string,
  peers: readonly Peer[],
  rounds: number,
  measure: (peer: Peer) => Promise<Trial>,
): Promise<Rounds> {
  const trials = new Map<PeerName, Trial[]>(peers.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const peer of peers) {
      const one = await measure(peer);
      trials.get(peer.name)?.push(one);
      const figures = [
        `${cpuPer10k(one).toFixed(3)} CPU s / 10,000`,
        `waited ${waitedPercent(one).toFixed(0)} %`,
        `load's core ${one.loadPercent.toFixed(0)} %`,
      ];
      console.log(`${what} ${round}/${rounds} ${peer.title}: ${figures.join(', ')}, ${one.load.tls}`);
    }
  }
  return trials;
}

/** The median over one gateway's rounds, to four digits. */
export function middle(trials: readonly Trial[], pick: (trial: Trial) => number): number {
  return round(median(trials.map(pick)));
}

/** The median of the ratios of each round; `undefined` where the other one was not measured. */
export function timesOf(
  trials: readonly Trial[],
  base: readonly Trial[] | undefined,
  pick: (trial: Trial) => number,
): number | undefined {
  return base && round(median(trials.map((trial, place) => pick(trial) / pick(base[place] as Trial))));
}

/** CPU seconds the gateway would use for 10,000 such requests. */
export function cpuPer10k({ cpuSeconds, requests }: Trial): number {
  return (cpuSeconds / requests) * 10_000;
}

/** Time spent waiting for a core, in percent of the CPU time: where it is large, the machine was too busy to measure. */
export function waitedPercent({ waitedSeconds, cpuSeconds }: Trial): number {
  return (100 * waitedSeconds) / cpuSeconds;
}

export function perSecond({ requests, load }: Trial): number {
  return requests / load.seconds;
}

/** Four digits that count: what is behind them is noise. */
export function round(value: number): number {
  return Number(value.toPrecision(4));
}
