import { round } from '../compare.ts';
import type { Ground } from '../ground.ts';
import type { PeerName } from '../peers.ts';
import type { Figures, MemoryFigures } from '../results.ts';
import { runTrial } from '../trial.ts';

/** Few: what a heap grown by much traffic has to spare would hide the connections. */
const WARM_UP_REQUESTS = 500;
/** Long enough for a garbage collection to have happened where one is due. */
const SETTLE_MS = 5_000;
const AT_ONCE = 32;

/** What a kept connection takes after its one event, in a process that has just started. */
export async function measureMemory(
  ground: Ground,
  names: readonly PeerName[],
  idle: number,
): Promise<Required<Figures>['memory']> {
  const figures = new Map<PeerName, MemoryFigures>();
  for (const name of names) {
    const peer = await ground.open(name);
    await runTrial(ground, peer, {
      requests: WARM_UP_REQUESTS,
      connections: AT_ONCE,
      settleMs: SETTLE_MS,
    });
    const { rssBeforeKib, rssAfterKib } = await runTrial(ground, peer, {
      requests: idle,
      connections: idle,
      atOnce: Math.min(AT_ONCE, idle),
      settleMs: SETTLE_MS,
    });
    await peer.stop();
    const idleConnectionKib = round((rssAfterKib - rssBeforeKib) / idle);
    figures.set(name, { rssBeforeMib: round(rssBeforeKib / 1024), idleConnectionKib });
    console.log(`memory ${peer.title}: ${idle} idle connections, ${idleConnectionKib} KiB each`);
  }
  return Object.fromEntries(figures);
}
