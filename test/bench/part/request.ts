import { cpuPer10k, middle, perSecond, round, takeTurns, timesOf, waitedPercent } from '../compare.ts';
import type { Ground, Peer } from '../ground.ts';
import type { Figures } from '../results.ts';
import { runTrial } from '../trial.ts';

/** Ordinary events over kept connections: what a request costs and how long it takes. */
export async function measureRequests(
  ground: Ground,
  peers: readonly Peer[],
  { rounds, requests, connections }: { rounds: number; requests: number; connections: number },
): Promise<Required<Figures>['request']> {
  const taken = await takeTurns('request', peers, rounds, (peer) =>
    runTrial(ground, peer, { requests, connections }),
  );
  const [haproxy, postern] = [taken.get('haproxy'), taken.get('postern')];
  const figures = [...taken].map(([name, trials]) => [
    name,
    {
      cpuSecondsPer10k: middle(trials, cpuPer10k),
      lowestPer10k: round(Math.min(...trials.map(cpuPer10k))),
      highestPer10k: round(Math.max(...trials.map(cpuPer10k))),
      timesHaproxy: timesOf(trials, haproxy, cpuPer10k),
      posternTimes: postern && timesOf(postern, trials, cpuPer10k),
      requestsPerSecond: Math.round(middle(trials, perSecond)),
      p50Ms: middle(trials, ({ load }) => load.p50Ms),
      p99Ms: middle(trials, ({ load }) => load.p99Ms),
      p99TimesHaproxy: timesOf(trials, haproxy, ({ load }) => load.p99Ms),
      maxMs: round(Math.max(...trials.map(({ load }) => load.maxMs))),
      waitedPercent: middle(trials, waitedPercent),
      rssMib: middle(trials, ({ rssAfterKib }) => rssAfterKib / 1024),
    },
  ]);
  return Object.fromEntries(figures);
}
