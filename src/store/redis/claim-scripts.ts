import type { Script } from './scripts.ts';

/**
 * A claim is one key: `kept:STATUS` for as long as it is remembered, or `flight:TOKEN` for the time of its lease.
 * Says '' where the claim is the caller's now, else what stands there. ARGV: own value, lease, value known to be void.
 */
export const CLAIM: Script = {
  name: 'posternClaim',
  keys: 1,
  lua: `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[3] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''`,
};

/**
 * Keeps a claim. Where the lease ran out and nobody else has claimed it since, the delivery is still known.
 * ARGV: own value, kept value, how long.
 */
export const KEEP: Script = {
  name: 'posternKeep',
  keys: 1,
  lua: `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`,
};

/** Frees a claim, and leaves what became of it for copies that wait at another gateway. ARGV: own value, outcome, how long. */
export const RELEASE: Script = {
  name: 'posternRelease',
  keys: 2,
  lua: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1`,
};
