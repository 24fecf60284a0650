import type { QueuedEvent } from '../../events.ts';
import type { QuarantineBounds, Quarantining } from '../../quarantined.ts';
import type { Client } from './client.ts';
import { indexKey, indexMember, routesKey } from './event-index.ts';
import { factsIn } from './job.ts';
import { printsKey, quarantineId, quarantineKey } from './quarantine-keys.ts';
import type { RouteQueue } from './route-queue.ts';
import { runScript, type Script } from './scripts.ts';

/** ARGV: id, print, limit, when it is removed, name, data, when it was received, member of the index, route. */
const ENTER: Script = {
  name: 'posternQuarantine',
  keys: 5,
  lua: `
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then return 'copy' end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], 'name', ARGV[5], 'data', ARGV[6], 'timestamp', ARGV[7], 'expires', ARGV[4], 'print', ARGV[2])
redis.call('ZADD', KEYS[4], ARGV[7], ARGV[8])
redis.call('SADD', KEYS[5], ARGV[9])
return 'stored'`,
};

/** ARGV: id, member of the index. Says whether it was there. */
const LEAVE: Script = {
  name: 'posternLeaveQuarantine',
  keys: 4,
  lua: `
local print = redis.call('HGET', KEYS[3], 'print')
if print then redis.call('HDEL', KEYS[2], print) end
redis.call('DEL', KEYS[3])
redis.call('ZREM', KEYS[4], ARGV[2])
return redis.call('ZREM', KEYS[1], ARGV[1])`,
};

/** What an event in quarantine is found by. */
type Found = Pick<QueuedEvent, 'id' | 'client' | 'messageId'>;

export interface Entering {
  readonly event: QueuedEvent;
  readonly name: string;
  readonly data: string;
  readonly bounds: QuarantineBounds;
}

/** Keeps an event, in one step with the count and the search for a copy. */
export async function enterQuarantine(
  client: Client,
  prefix: string,
  base: string,
  { event, name, data, bounds }: Entering,
): Promise<Quarantining> {
  const { id, route, receivedMs } = event;
  const keys = [...keysOf(base, id), indexKey(prefix), routesKey(prefix)];
  const expiresMs = Date.now() + bounds.ageMs;
  const member = indexMember(event, true);
  const args = [id, bounds.print, bounds.limit, expiresMs, name, data, receivedMs, member, route];
  return (await runScript(client, ENTER, keys, args)) as Quarantining;
}

/** Removes an event from the quarantine. @returns whether it was there */
export async function leaveQuarantine(
  client: Client,
  prefix: string,
  { base, queue }: RouteQueue,
  found: Found,
): Promise<boolean> {
  const keys = [...keysOf(base, found.id), indexKey(prefix)];
  const member = indexMember({ ...found, route: queue.name }, true);
  return (await runScript(client, LEAVE, keys, [found.id, member])) === 1;
}

/** What is known of one by its id alone. */
export async function foundInQuarantine(client: Client, { base }: RouteQueue, id: string): Promise<Found> {
  const name = await client.hget(base + quarantineId(id), 'name');
  return name === null ? { id, client: '', messageId: undefined } : factsIn(name);
}

function keysOf(base: string, id: string): readonly string[] {
  return [quarantineKey(base), printsKey(base), base + quarantineId(id)];
}
