import type { QueuedEvent } from '../../events.ts';
import type { Client } from './client.ts';

/**
 * All events of a prefix, by the time at which they came: BullMQ knows each queue and state in an order of its own
 * only. An entry may outlive its job; whoever finds such a one removes it.
 */
export interface IndexEntry {
  readonly receivedMs: number;
  readonly id: string;
  readonly route: string;
  readonly client: string;
  readonly messageId: string | undefined;
  /** As it stands in the index. */
  readonly member: string;
}

export function indexKey(prefix: string): string {
  return `${prefix}:events`;
}

/** The names of all routes that ever had a queue. */
export function routesKey(prefix: string): string {
  return `${prefix}:routes`;
}

/** None of the parts can hold a line feed. */
export function indexMember(event: Pick<QueuedEvent, 'id' | 'route' | 'client' | 'messageId'>): string {
  return [event.id, event.route, event.client, event.messageId ?? ''].join('\n');
}

export function indexEntry(member: string, score: string | number): IndexEntry {
  const [id = '', route = '', client = '', messageId = ''] = member.split('\n');
  return { receivedMs: Number(score), id, route, client, messageId: messageId || undefined, member };
}

/** Where a walk through the index stands: the last entry it has seen. */
export interface Place {
  readonly score: string;
  readonly member: string;
}

/**
 * The entries before a place, the newest first.
 * @param place `undefined`: from the newest on
 * @param range of the times at which they were received, milliseconds since the epoch, the second exclusive
 */
export async function entriesBefore(
  client: Client,
  key: string,
  place: Place | undefined,
  range: { fromMs: number | undefined; toMs: number | undefined },
  count: number,
): Promise<readonly IndexEntry[]> {
  const from = range.fromMs === undefined ? '-inf' : String(range.fromMs);
  const to = place?.score ?? (range.toMs === undefined ? '+inf' : `(${range.toMs}`);
  const entries: IndexEntry[] = [];
  // Several entries may have the time at which the last page ended: those it has shown are passed over.
  for (let offset = 0; entries.length < count; offset += count) {
    const flat = await client.zrevrangebyscore(key, to, from, 'WITHSCORES', 'LIMIT', offset, count);
    for (let at = 0; at < flat.length; at += 2) {
      const [member = '', score = ''] = [flat[at], flat[at + 1]];
      const isShown = place !== undefined && score === place.score && member >= place.member;
      if (!isShown) entries.push(indexEntry(member, score));
    }
    if (flat.length < count * 2) break;
  }
  return entries.slice(0, count);
}
