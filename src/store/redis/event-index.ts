import type { QueuedEvent } from '../../events.ts';
import type { Client } from './client.ts';
import type { Link } from './link.ts';

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
  readonly isQuarantined: boolean;
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
export function indexMember(
  event: Pick<QueuedEvent, 'id' | 'route' | 'client' | 'messageId'>,
  isQuarantined = false,
): string {
  const parts = [event.id, event.route, event.client, event.messageId ?? ''];
  return [...parts, ...(isQuarantined ? [QUARANTINED] : [])].join('\n');
}

export function indexEntry(member: string, score: string | number): IndexEntry {
  const [id = '', route = '', client = '', messageId = '', where] = member.split('\n');
  const isQuarantined = where === QUARANTINED;
  return {
    receivedMs: Number(score),
    id,
    route,
    client,
    messageId: messageId || undefined,
    isQuarantined,
    member,
  };
}

const QUARANTINED = 'quarantined';

/** Where a walk stands: the last that it has seen, by its score and what tells it from others of that score. */
export interface Place {
  readonly score: string;
  readonly member: string;
}

export function placeText({ score, member }: Place): string {
  return Buffer.from(`${score}\n${member}`).toString('base64url');
}

export function placeIn(text: string): Place {
  const [score = '', ...member] = Buffer.from(text, 'base64url').toString().split('\n');
  return { score, member: member.join('\n') };
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

const SCAN_COUNT = 1000;

/** The entries whose event or message has this id, by a search. */
export async function entriesOf(link: Link, key: string, id: string): Promise<readonly IndexEntry[]> {
  const found = new Map<string, IndexEntry>();
  const pattern = `*${globText(id)}*`;
  let cursor = '0';
  do {
    const at = cursor;
    const [next, flat] = await link.ask((client) =>
      client.zscan(key, at, 'MATCH', pattern, 'COUNT', SCAN_COUNT),
    );
    for (let place = 0; place < flat.length; place += 2) {
      const entry = indexEntry(flat[place] ?? '', flat[place + 1] ?? '');
      if (entry.id === id || entry.messageId === id) found.set(entry.member, entry);
    }
    cursor = next;
  } while (cursor !== '0');
  return [...found.values()];
}

/** A text as a pattern of Redis that matches itself alone. */
export function globText(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&');
}
