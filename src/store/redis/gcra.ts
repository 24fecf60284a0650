import type { Link } from './link.ts';
import { runScript, type Script } from './scripts.ts';

/**
 * The generic cell rate algorithm (ITU-T I.371) on one key, by the server's clock: how many of those that are wanted
 * may begin now, and after how many milliseconds the next one may. The key holds a theoretical arrival time in
 * milliseconds since 2026: small enough numbers that fractions of a microsecond are kept. A time that nobody can have
 * set (the clock was put back, or another server took over) is taken for the latest that one can.
 * ARGV: interval, tolerance, how many are wanted.
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
local free = math.floor((now + tolerance - arrival) / interval) + 1
local begun = math.max(math.min(free, tonumber(ARGV[3])), 0)
local following = arrival + begun * interval
if begun > 0 then
  redis.call('SET', KEYS[1], string.format('%.17g', following), 'PX', math.ceil(following - now))
end
return { begun, math.ceil(math.max(following - tolerance - now, 0)) }`,
};

/** What a limit lets through: milliseconds. */
export interface Cells {
  readonly intervalMs: number;
  readonly toleranceMs: number;
}

/** @returns how many may begin now, and after how many milliseconds the next one may */
export async function takeCells(
  link: Link,
  key: string,
  { intervalMs, toleranceMs }: Cells,
  wanted: number,
): Promise<{ count: number; againMs: number }> {
  const args = [intervalMs, toleranceMs, wanted];
  const taken = await link.ask((client) => runScript(client, TAKE, [key], args));
  const [count, againMs] = taken as [number, number];
  return { count, againMs };
}
