import { middle, perSecond, takeTurns, timesOf } from '../compare.ts';
import type { Ground, Peer } from '../ground.ts';
import { PEERS } from '../peers.ts';
import type { Figures } from '../results.ts';
import { runTrial } from '../trial.ts';

const MIB = 2 ** 20;
const CONNECTIONS = 16;
const WARM_UP_BODIES = 100;
const SHAPE = { bodyBytes: MIB, routes: 0, keys: 0 };
/** HAProxy signs what one buffer holds: the body, its head and what is reserved for rewriting. */
const BUFSIZE = String(MIB + 65_536);

/** Signed bodies of 1 MiB: how many MiB a second, of the gateways that check a signature. */
export async function measureBodies(
  ground: Ground,
  warmPeers: readonly Peer[],
  { rounds, bodies }: { rounds: number; bodies: number },
): Promise<Required<Figures>['bodies']> {
  const peers: Peer[] = [];
  for (const peer of warmPeers.filter(({ name }) => PEERS[name].signs)) {
    const wide = peer.name === 'haproxy';
    peers.push(wide ? await ground.open('haproxy', { fillings: { BUFSIZE }, shape: SHAPE }) : peer);
  }
  const send = (peer: Peer, requests: number) =>
    runTrial(ground, peer, { shape: SHAPE, requests, connections: CONNECTIONS });
  for (const peer of peers) await send(peer, WARM_UP_BODIES);
  const taken = await takeTurns('1 MiB bodies', peers, rounds, (peer) => send(peer, bodies));
  const figures = [...taken].map(([name, trials]) => [
    name,
    {
      mibPerSecond: middle(trials, perSecond),
      timesHaproxy: timesOf(trials, taken.get('haproxy'), perSecond),
      cpuSecondsPerGib: middle(trials, ({ cpuSeconds, requests }) => (cpuSeconds / requests) * 1024),
      loadPercent: middle(trials, ({ loadPercent }) => loadPercent),
    },
  ]);
  return Object.fromEntries(figures);
}
