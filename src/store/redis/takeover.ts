import type { Link } from './link.ts';
import { runScript, type Script } from './scripts.ts';

/**
 * Puts jobs back to the front whose lock has ended, or is held by an owner known to be gone. One step: a job that is
 * active has its lock from the moment it became so. KEYS: active, wait, delayed. ARGV: what the keys of jobs begin
 * with, then the tokens of owners that are gone.
 */
const TAKE_OVER: Script = {
  name: 'posternTakeOver',
  keys: 3,
  lua: `
local gone, moved, held = {}, 0, {}
for place = 2, #ARGV do gone[ARGV[place]] = true end
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local job = ARGV[1] .. id
  local token = redis.call('GET', job .. ':lock')
  if token and not gone[token] then
    held[#held + 1] = token
  else
    redis.call('DEL', job .. ':lock')
    redis.call('LREM', KEYS[1], 1, id)
    if redis.call('EXISTS', job) == 1 then
      redis.call('RPUSH', KEYS[2], id)
      moved = moved + 1
    end
  end
end
local due = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
return { moved, redis.call('LLEN', KEYS[2]), due[2] or '', held }`,
};

/** What is due on a route. */
export interface Outlook {
  readonly waiting: number;
  /** When the next delayed job is due, milliseconds since the epoch; `undefined`: there is none. */
  readonly dueMs: number | undefined;
}

/** BullMQ keeps the time of a delayed job in the upper bits of its score. */
const SCORE_PER_MS = 0x1000;

/**
 * Takes over what nobody delivers any more, and tells what is due.
 * @param base what all keys of the route's queue begin with
 * @param isVoid whether the token of a lock is of an owner that is gone
 */
export async function takeOver(
  link: Link,
  base: string,
  isVoid: (token: string) => boolean,
): Promise<Outlook> {
  const keys = [`${base}active`, `${base}wait`, `${base}delayed`];
  const run = async (gone: readonly string[]) =>
    (await link.ask((client) => runScript(client, TAKE_OVER, keys, [base, ...gone]))) as Taken;
  const first = await run([]);
  const gone = first[3].filter(isVoid);
  const [, waiting, due] = gone.length === 0 ? first : await run(gone);
  return { waiting, dueMs: due === '' ? undefined : dueMsOf(due) };
}

type Taken = readonly [moved: number, waiting: number, due: string, held: readonly string[]];

export function dueMsOf(score: string): number {
  return Math.floor(Number(score) / SCORE_PER_MS);
}
