import type { Queue, QueueCount } from '../events.ts';
import type { QueueParts } from './queue.ts';

/** Reads one row a route, and one index entry a delivery under way: as cheap with a million events as with none. */
export function counter({ database, clock }: QueueParts): Queue['counts'] {
  const tallies = database.prepare('SELECT route, unfinished, dead, quarantined FROM tallies');
  const underWay = database.prepare(`
    SELECT count(*) AS count FROM events INDEXED BY delivering
    WHERE state = 'delivering' AND route = ? AND until > ?`);
  const oldest = database.prepare(`
    SELECT received FROM events INDEXED BY unfinished
    WHERE finished IS NULL AND route = ? ORDER BY seq LIMIT 1`);
  return async (): Promise<readonly QueueCount[]> =>
    (tallies.all() as unknown as Tally[]).map(({ route, unfinished, dead, quarantined }) => {
      const { count: delivering } = underWay.get(route, clock.now()) as { count: number };
      const oldestMs = oldest.get(route)?.received as number | undefined;
      return { route, waiting: unfinished - delivering, delivering, dead, quarantined, oldestMs };
    });
}

interface Tally {
  readonly route: string;
  readonly unfinished: number;
  readonly dead: number;
  readonly quarantined: number;
}
