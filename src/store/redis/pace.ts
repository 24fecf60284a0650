import type { LeaseRequest } from '../../events.ts';
import { earlyMsOf } from '../pace.ts';
import { takeCells } from './gcra.ts';
import type { Link } from './link.ts';
import { runScript, type Script } from './scripts.ts';

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
    begin(route, pace, wanted) {
      const cells = { intervalMs: pace.perMs / pace.count, toleranceMs: earlyMsOf(pace), waitMs: 0 };
      return takeCells(link, keyOf(route), cells, { wanted, longestMs: 0 });
    },
    async giveBack(route, { count, perMs }, unused) {
      await link.ask((client) => runScript(client, RETURN, [keyOf(route)], [perMs / count, unused]));
    },
  };
}
