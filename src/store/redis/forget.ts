import { Cluster } from 'ioredis';
import { claimsOf, laneOf, ownerOf } from '../../lane.ts';
import { claimKey } from './claims.ts';
import { globText, routesKey } from './event-index.ts';
import { jobIdOf } from './job.ts';
import { progressOf } from './leases.ts';
import type { Link } from './link.ts';
import type { RouteQueue } from './route-queue.ts';

const SCAN_COUNT = 1000;

/**
 * Drops the claims of a message that was delivered or accepted, whichever clients it was for; one that is in flight
 * stays. @returns how many there were
 */
export async function forgetMessage(
  link: Link,
  prefix: string,
  at: (lane: string) => RouteQueue,
  { route: asked, messageId }: { route: string; messageId: string },
): Promise<number> {
  const { route, client: only } = ownerOf(asked);
  const before = globText(claimKey(prefix, claimsOf(asked)));
  const after = globText(only === undefined ? `\n${messageId}` : messageId);
  const keys = await keysOf(link, `${before}${only === undefined ? '*' : ''}${after}`);
  const lanes = new Set(await link.ask((client) => client.smembers(routesKey(prefix))));
  let count = 0;
  for (const key of keys) {
    const held = await link.ask((client) => client.get(key));
    if (!held?.startsWith('kept:')) continue;
    const [, client = ''] = key.slice(claimKey(prefix, '').length).split('\n');
    // The job first: without its mark a copy would still be taken for what was accepted.
    for (const lane of [route, laneOf(route, client)]) {
      if (!lanes.has(lane)) continue;
      const jobId = jobIdOf({ route: lane, client, messageId, id: '' });
      const job = await link.ask(() => at(lane).queue.getJob(jobId));
      if (job === undefined) continue;
      const progress = { ...progressOf(job), forgotten: true };
      await link.ask(() => job.updateProgress(progress).catch(() => undefined));
    }
    count += await link.ask((asked) => asked.del(key));
  }
  return count;
}

/** All keys of a pattern, by a search; of a cluster every part is asked. */
async function keysOf({ client, ask }: Link, pattern: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const node of client instanceof Cluster ? client.nodes('master') : [client]) {
    let cursor = '0';
    do {
      const from = cursor;
      const [next, keys] = await ask(() => node.scan(from, 'MATCH', pattern, 'COUNT', SCAN_COUNT));
      for (const key of keys) found.add(key);
      cursor = next;
    } while (cursor !== '0');
  }
  return found;
}
