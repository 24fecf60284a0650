import type { Link } from './link.ts';
import type { RouteQueue } from './route-queue.ts';
import { runScript, type Script } from './scripts.ts';

/**
 * Makes a delayed job that nobody has begun to deliver an active one, locked as BullMQ locks what a worker takes: BullMQ
 * itself gives out no certain job. May be asked again. Says 1 where the lock is the caller's. KEYS: delayed, active, the
 * job, its lock. ARGV: the job's id, the lock's token, how long it holds, the time.
 */
const SEIZE: Script = {
  name: 'posternSeize',
  keys: 4,
  lua: `
if redis.call('GET', KEYS[4]) == ARGV[2] then return 1 end
if tonumber(redis.call('HGET', KEYS[3], 'ats') or 0) > 0 then return 0 end
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
redis.call('SET', KEYS[4], ARGV[2], 'PX', ARGV[3])
redis.call('HSET', KEYS[3], 'delay', 0, 'processedOn', ARGV[4])
redis.call('HINCRBY', KEYS[3], 'ats', 1)
return 1`,
};

/** A job that was stored as one that is being delivered. */
export interface Born {
  readonly jobId: string;
  readonly leaseMs: number;
}

/** @returns false where somebody else has it, or had it: the lease has ended */
export async function seize(
  link: Link,
  { base }: RouteQueue,
  { jobId, leaseMs }: Born,
  token: string,
): Promise<boolean> {
  const job = base + jobId;
  const keys = [`${base}delayed`, `${base}active`, job, `${job}:lock`];
  const args = [jobId, token, leaseMs, Date.now()];
  return Number(await link.ask((client) => runScript(client, SEIZE, keys, args))) === 1;
}
