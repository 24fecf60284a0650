import type { Retention } from '../../events.ts';
import { indexKey, indexMember } from './event-index.ts';
import { factsIn } from './job.ts';
import type { Link } from './link.ts';
import type { RouteQueue } from './route-queue.ts';

const AT_ONCE = 200;
const MOST_ROUNDS = 25;

/**
 * Removes what was delivered, or is dead, for as long as it was to be kept. BullMQ would do so by itself, but only when
 * another job of its kind is done, and without the index.
 */
export async function removeOld(
  link: Link,
  prefix: string,
  at: RouteQueue,
  { deliveredMs, deadMs }: Retention,
): Promise<void> {
  await removeFinished(link, prefix, at, 'completed', deliveredMs);
  if (deadMs !== undefined) await removeFinished(link, prefix, at, 'failed', deadMs);
}

async function removeFinished(
  link: Link,
  prefix: string,
  { queue, base }: RouteQueue,
  state: 'completed' | 'failed',
  keptMs: number,
): Promise<void> {
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const until = Date.now() - keptMs;
    const ids = await link.ask((client) =>
      client.zrangebyscore(`${base}${state}`, '-inf', until, 'LIMIT', 0, AT_ONCE),
    );
    const names = await link.ask((client) => Promise.all(ids.map((id) => client.hget(base + id, 'name'))));
    const members = names.flatMap((name) =>
      name === null ? [] : [indexMember({ ...factsIn(name), route: queue.name })],
    );
    await link.ask(() => Promise.all(ids.map((id) => queue.remove(id))));
    if (members.length > 0) await link.ask((client) => client.zrem(indexKey(prefix), ...members));
    if (ids.length < AT_ONCE) return;
  }
}
