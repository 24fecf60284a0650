import { Cluster } from 'ioredis';
import { claimKey } from './claims.ts';
import { globText } from './event-index.ts';
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
  at: RouteQueue,
  { route, messageId }: { route: string; messageId: string },
): Promise<number> {
  const before = globText(claimKey(prefix, `${route}\n`));
  const keys = await keysOf(link, `${before}*${globText(`\n${messageId}`)}`);
  let count = 0;
  for (const key of keys) {
    const held = await link.ask((client) => client.get(key));
    if (!held?.startsWith('kept:')) continue;
    const [, client = ''] = key.slice(claimKey(prefix, '').length).split('\n');
    // The job first: without its mark a copy would still be taken for what was accepted.
    const job = await link.ask(() => at.queue.getJob(jobIdOf({ route, client, messageId, id: '' })));
    if (job !== undefined) {
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
