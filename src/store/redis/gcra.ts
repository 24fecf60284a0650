import type { Cells } from '../../store-types.ts';
import type { Link } from './link.ts';
import { runScript, type Script } from './scripts.ts';

/**
 * The generic cell rate algorithm (ITU-T I.371) on one key, by the server's clock: how many of those that are wanted
 * may begin now, and after how many milliseconds the next one may. The key holds a theoretical arrival time in
 * milliseconds since 2026: small enough numbers that fractions of a microsecond are kept. A time that nobody can have
 * set (the clock was put back, or another server took over) is taken for the latest that one can. Where none may begin
 * now, one is taken in advance if its turn comes soon enough, to the microsecond: what is rounded could overtake.
 * ARGV: interval, tolerance, how long anybody may wait, how many are wanted, how long this one may wait.
 */
export const TAKE: Script = {
  name: 'posternTake',
  keys: 1,
  lua: `
local clock = redis.call('TIME')
local now = (clock[1] - 1767225600) * 1000 + clock[2] / 1000
local interval, tolerance, wait = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted, longest = tonumber(ARGV[4]), tonumber(ARGV[5])
local arrival = tonumber(redis.call('GET', KEYS[1]) or now)
arrival = math.min(math.max(arrival, now), now + tolerance + interval + wait)
local free = math.floor((now + tolerance - arrival) / interval) + 1
local begun = math.max(math.min(free, wanted), 0)
local turn = 0
if begun == 0 and longest > 0 and arrival - tolerance - now <= longest then
  begun, turn = 1, math.max(arrival - tolerance - now, 0)
end
local following = arrival + begun * interval
if begun > 0 then
  redis.call('SET', KEYS[1], string.format('%.17g', following), 'PX', math.ceil(following - now))
end
return { begun, math.ceil(math.max(following - tolerance - now, 0)), string.format('%.3f', turn) }`,
};

/** What somebody would like of a limit. */
export interface Wish {
  readonly wanted: number;
  /** How long one may wait for its turn, milliseconds; 0 or less: not at all. */
  readonly longestMs: number;
}

/** @returns how many may begin, after `turnMs` milliseconds, and after how many the next one may */
export async function takeCells(
  link: Link,
  key: string,
  { intervalMs, toleranceMs, waitMs }: Cells,
  { wanted, longestMs }: Wish,
): Promise<{ count: number; againMs: number; turnMs: number }> {
  const args = [intervalMs, toleranceMs, waitMs, wanted, longestMs];
  const taken = await link.ask((client) => runScript(client, TAKE, [key], args));
  const [count, againMs, turn] = taken as [number, number, string];
  return { count, againMs, turnMs: Number(turn) };
}
