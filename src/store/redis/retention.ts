import type { Retention } from '../../events.ts';
import { unreleasedSentence } from '../retention.ts';
import { indexKey, indexMember, routesKey } from './event-index.ts';
import { walkFinished } from './finished.ts';
import { factsIn } from './job.ts';
import type { Link } from './link.ts';
import { quarantineKey } from './quarantine-keys.ts';
import { foundInQuarantine, leaveQuarantine } from './quarantine-scripts.ts';
import type { RouteQueue } from './route-queue.ts';

const AT_ONCE = 200;
const MOST_ROUNDS = 25;

/** How much the bodies of all delivered events take up, as far as every gateway lived to write it down. */
export function deliveredBytesKey(prefix: string): string {
  return `${prefix}:delivered-bytes`;
}

export interface Household {
  readonly link: Link;
  readonly prefix: string;
  readonly at: (route: string) => RouteQueue;
  readonly warn: (sentence: string) => void;
}

/**
 * Removes what was delivered, or is dead, for as long as it was to be kept. BullMQ would do so by itself, but only when
 * another job of its kind is done, and without the index.
 */
export async function removeOld(household: Household, retention: Retention): Promise<void> {
  const { link, prefix, at } = household;
  const { deliveredMs, deadMs, sizeBytes } = retention;
  const routes = await link.ask((client) => client.smembers(routesKey(prefix)));
  for (const route of routes) {
    await removeAged(household, at(route), 'completed', deliveredMs);
    if (deadMs !== undefined) await removeAged(household, at(route), 'failed', deadMs);
    await removeUnreleased(household, at(route));
  }
  if (sizeBytes !== undefined) await removeExcess(household, routes, sizeBytes);
}

async function removeAged(
  household: Household,
  at: RouteQueue,
  state: 'completed' | 'failed',
  keptMs: number,
): Promise<void> {
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const until = Date.now() - keptMs;
    const ids = await household.link.ask((client) =>
      client.zrangebyscore(`${at.base}${state}`, '-inf', until, 'LIMIT', 0, AT_ONCE),
    );
    for (const id of ids) await removeJob(household, at, id, state === 'completed');
    if (ids.length < AT_ONCE) return;
  }
}

/** What nobody released in its time. */
async function removeUnreleased({ link, prefix, warn }: Household, at: RouteQueue): Promise<void> {
  let count = 0;
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const nowMs = Date.now();
    const ids = await link.ask((client) =>
      client.zrangebyscore(quarantineKey(at.base), '-inf', nowMs, 'LIMIT', 0, AT_ONCE),
    );
    for (const id of ids) {
      const found = await link.ask((client) => foundInQuarantine(client, at, id));
      if (await link.ask((client) => leaveQuarantine(client, prefix, at, found))) count += 1;
    }
    if (ids.length < AT_ONCE) break;
  }
  if (count > 0) warn(unreleasedSentence(at.queue.name, count));
}

/** The first to finish go first. */
async function removeExcess(
  household: Household,
  routes: readonly string[],
  sizeBytes: number,
): Promise<void> {
  const { link, prefix, at } = household;
  const key = deliveredBytesKey(prefix);
  let left = Number(await link.ask((client) => client.get(key))) - sizeBytes;
  if (left <= 0) return;
  const walk = walkFinished(link, routes, { baseOf: (route) => at(route).base, states: ['completed'] });
  for await (const { route, jobId } of walk) {
    left -= await removeJob(household, at(route), jobId, true);
    if (left <= 0) return;
  }
  // Nothing is left, so what is still counted was miscounted: a gateway died before it had written something down.
  await link.ask((client) => client.del(key));
}

/** @returns how many bytes it had taken up; 0 where another gateway was first */
async function removeJob(
  { link, prefix }: Household,
  { queue, base }: RouteQueue,
  id: string,
  isCounted: boolean,
): Promise<number> {
  const name = await link.ask((client) => client.hget(base + id, 'name'));
  await link.ask(() => queue.remove(id));
  if (typeof name !== 'string') return 0;
  const facts = factsIn(name);
  const member = indexMember({ ...facts, route: queue.name });
  const removed = await link.ask((client) => client.zrem(indexKey(prefix), member));
  if (removed === 0 || !isCounted) return 0;
  await link.ask((client) => client.decrby(deliveredBytesKey(prefix), facts.bytes));
  return facts.bytes;
}
