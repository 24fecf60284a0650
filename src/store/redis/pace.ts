import type { LeaseRequest } from '../../events.ts';
import type { Link } from './link.ts';
import { runScript, type Script } from './scripts.ts';

/**
 * The same count as of rate limits, of several at once: how many of those that are wanted may begin now, and after how
 * many milliseconds the next one may. ARGV: interval, tolerance, how many are wanted.
 */
const BEGIN: Script = {
  name: 'posternBegin',
  keys: 1,
  lua: `
local clock = redis.call('TIME')
local now = (clock[1] - 1767225600) * 1000 + clock[2] / 1000
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = tonumber(redis.call('GET', KEYS[1]) or now)
arrival = math.min(math.max(arrival, now), now + tolerance + interval)
local free = math.floor((now + tolerance - arrival) / interval) + 1
local begun = math.max(math.min(free, tonumber(ARGV[3])), 0)
local following = arrival + begun * interval
if begun > 0 then
  redis.call('SET', KEYS[1], string.format('%.17g', following), 'PX', math.ceil(following - now))
end
return { begun, math.ceil(math.max(following - tolerance - now, 0)) }`,
};

/** Gives back what was taken for events that then were not there. ARGV: interval, how many. */
const RETURN: Script = {
  name: 'posternReturn',
  keys: 1,
  lua: `
local arrival = redis.call('GET', KEYS[1])
if not arrival then return 0 end
redis.call('SET', KEYS[1], string.format('%.17g', tonumber(arrival) - ARGV[1] * ARGV[2]), 'KEEPTTL')
return 1`,
};

type Pace = NonNullable<LeaseRequest['pace']>;

/** How many deliveries of a route may begin, counted by all gateways of one prefix together. */
export interface SharedPace {
  /** @returns how many may begin now, and after how many milliseconds more may */
  begin(route: string, pace: Pace, wanted: number): Promise<{ count: number; againMs: number }>;
  giveBack(route: string, pace: Pace, count: number): Promise<void>;
}

export function sharedPace(link: Link, prefix: string): SharedPace {
  const keyOf = (route: string) => `${prefix}:pace:${route}`;
  return {
    async begin(route, { count, perMs }, wanted) {
      const intervalMs = perMs / count;
      const args = [intervalMs, intervalMs * (count - 1), wanted];
      const [begun, againMs] = (await link.ask((client) =>
        runScript(client, BEGIN, [keyOf(route)], args),
      )) as [number, number];
      return { count: begun, againMs };
    },
    async giveBack(route, { count, perMs }, unused) {
      await link.ask((client) => runScript(client, RETURN, [keyOf(route)], [perMs / count, unused]));
    },
  };
}
