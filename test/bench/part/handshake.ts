import { cpuPer10k, middle, takeTurns, timesOf } from '../compare.ts';
import type { Ground, Peer } from '../ground.ts';
import type { Figures } from '../results.ts';
import { runTrial } from '../trial.ts';

const WARM_UP_HANDSHAKES = 100;
/** Enough to keep both cores busy; more would only wait for each other. */
const AT_ONCE = 8;

/** A new connection for each event: what a full handshake with its one request costs. */
export async function measureHandshakes(
  ground: Ground,
  peers: readonly Peer[],
  { rounds, handshakes }: { rounds: number; handshakes: number },
): Promise<Required<Figures>['handshake']> {
  const knock = (peer: Peer, requests: number) =>
    runTrial(ground, peer, { kind: 'handshakes', requests, connections: AT_ONCE });
  for (const peer of peers) await knock(peer, WARM_UP_HANDSHAKES);
  const taken = await takeTurns('handshake', peers, rounds, (peer) => knock(peer, handshakes));
  const figures = [...taken].map(([name, trials]) => [
    name,
    {
      cpuSecondsPer10k: middle(trials, cpuPer10k),
      timesHaproxy: timesOf(trials, taken.get('haproxy'), cpuPer10k),
      p99Ms: middle(trials, ({ load }) => load.p99Ms),
    },
  ]);
  return Object.fromEntries(figures);
}
