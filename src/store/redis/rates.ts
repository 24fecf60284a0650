import { hash } from 'node:crypto';
import type { SharedRates } from '../../types.ts';
import type { Link } from './link.ts';
import { runScript, type Script } from './scripts.ts';

/**
 * The theoretical arrival time of one key, by the server's clock, in milliseconds since 2026: small enough numbers
 * that fractions of a microsecond are kept. A time that no request can have set (the clock was put back, or another
 * server took over) is taken for the latest that one can.
 */
export const TAKE: Script = {
  name: 'posternTake',
  keys: 1,
  lua: `
local clock = redis.call('TIME')
local now = (clock[1] - 1767225600) * 1000 + clock[2] / 1000
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = tonumber(redis.call('GET', KEYS[1]) or now)
arrival = math.min(math.max(arrival, now), now + tolerance + interval)
local early = arrival - tolerance - now
if early > 0 then return math.ceil(early) end
local following = arrival + interval
redis.call('SET', KEYS[1], string.format('%.17g', following), 'PX', math.ceil(following - now))
return 0`,
};

/** Rate limits of all gateways of one prefix together. */
export function sharedRates(link: Link, prefix: string): SharedRates {
  return {
    async take(key, intervalMs, toleranceMs) {
      // A sender chooses part of the key, and how long that is.
      const name = `${prefix}:rate:${hash('sha256', key, 'base64url')}`;
      return Number(await link.ask((client) => runScript(client, TAKE, [name], [intervalMs, toleranceMs])));
    },
  };
}
