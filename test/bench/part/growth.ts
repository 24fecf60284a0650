import { round } from '../compare.ts';
import { type EventShape, ORDINARY } from '../event.ts';
import type { Ground, Peer } from '../ground.ts';
import { median } from '../measure.ts';
import type { GrowthRow } from '../results.ts';
import { runTrial } from '../trial.ts';
import { GROWTHS, type Side } from './growth-rows.ts';

/** What makes V8 compile the whole path. */
const WARM_UP_REQUESTS = 20_000;
const MIB = 2 ** 20;

export interface GrowthCounts {
  readonly rounds: number;
  readonly requests: number;
  readonly connections: number;
}

/** Postern alone: what a request costs where little is configured or remembered, and where much is. */
export async function measureGrowth(ground: Ground, counts: GrowthCounts): Promise<readonly GrowthRow[]> {
  const rows: GrowthRow[] = [];
  for (const growth of GROWTHS) {
    const { small, large, close } = await growth.open(ground, counts.connections);
    rows.push(await compareSides(ground, growth.what, [small, large], counts));
    await close();
  }
  return rows;
}

async function compareSides(
  ground: Ground,
  what: string,
  [small, large]: readonly [Side, Side],
  { rounds, requests, connections }: GrowthCounts,
): Promise<GrowthRow> {
  const measure = async (side: Side) => {
    const count = countFor(side.shape, requests);
    const trial = await runTrial(ground, side.peer, { shape: side.shape, requests: count, connections });
    return (trial.cpuSeconds * 1e6) / (isLarge(side.shape) ? (count * side.shape.bodyBytes) / MIB : count);
  };
  for (const peer of new Set([small.peer, large.peer])) await warm(ground, peer, small, large, connections);
  const figures: { small: number; large: number }[] = [];
  for (let place = 1; place <= rounds; place += 1) {
    // Each goes first in turn: a machine that grows slower or faster favours neither.
    const pair =
      place % 2 === 1
        ? { small: await measure(small), large: await measure(large) }
        : await measure(large).then(async (us) => ({ small: await measure(small), large: us }));
    figures.push(pair);
    console.log(
      `growth ${place}/${rounds} ${what}: ${small.size} ${pair.small.toFixed(1)} us, ${large.size} ${pair.large.toFixed(1)} us`,
    );
  }
  return {
    what,
    per: isLarge(small.shape) ? 'MiB' : 'request',
    small: { size: small.size, us: round(median(figures.map((pair) => pair.small))) },
    large: { size: large.size, us: round(median(figures.map((pair) => pair.large))) },
    ratio: round(median(figures.map((pair) => pair.large / pair.small))),
  };
}

/** Each gateway is warmed by what it will be measured with. */
async function warm(
  ground: Ground,
  peer: Peer,
  small: Side,
  large: Side,
  connections: number,
): Promise<void> {
  for (const side of [small, large]) {
    if (side.peer !== peer) continue;
    const requests = countFor(side.shape, WARM_UP_REQUESTS);
    await runTrial(ground, peer, { shape: side.shape, requests, connections });
  }
}

function isLarge({ bodyBytes }: EventShape): boolean {
  return bodyBytes !== ORDINARY.bodyBytes;
}

/** Large bodies are fewer: about as long under way as the small ones. */
function countFor({ bodyBytes }: EventShape, requests: number): number {
  const size = bodyBytes / ORDINARY.bodyBytes;
  return size > 1 ? Math.max(20, Math.round((requests * 20) / size)) : requests;
}
