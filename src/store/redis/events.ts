import { Cluster } from 'ioredis';
import type { EventDetail, EventFilter, EventPage, Events } from '../../events.ts';
import type { RedisSettings } from '../../settings.ts';
import { type Sealer, sealer } from '../seal.ts';
import { claimKey } from './claims.ts';
import type { Client } from './client.ts';
import { entriesBefore, type IndexEntry, indexEntry, indexKey, type Place } from './event-index.ts';
import { jobIdOf } from './job.ts';
import { isAsked, readDetail, readSummary, type Seen } from './job-view.ts';
import { progressOf } from './leases.ts';
import { type Link, openLink } from './link.ts';
import { openRouteQueue, type RouteQueue } from './route-queue.ts';

const CONNECT_MS = 5000;
const AT_ONCE = 100;
const SCAN_COUNT = 1000;

/** An event, and where a walk through the index stands at it. */
type Found = Seen & { readonly place: Place };

/**
 * The operator's side of the queue on Redis.
 * @throws Error where Redis does not answer
 */
export async function redisEvents(settings: RedisSettings): Promise<Events> {
  const silent = { away: () => undefined, back: () => undefined };
  const link = openLink(settings, (client) => client.ping(), silent);
  await link.ready(CONNECT_MS);
  const problem = link.problem();
  if (problem !== undefined) {
    await link.close();
    throw new Error(problem);
  }
  return eventsOver(
    link,
    `{${settings.prefix}}`,
    settings.keys.length > 0 ? sealer(settings.keys) : undefined,
  );
}

function eventsOver(link: Link, prefix: string, seal: Sealer | undefined): Events {
  const routes = new Map<string, RouteQueue>();
  const key = indexKey(prefix);

  function at(route: string): RouteQueue {
    const opened = routes.get(route) ?? openRouteQueue(link, prefix, route);
    routes.set(route, opened);
    return opened;
  }

  async function seen(entries: readonly IndexEntry[]): Promise<Seen[]> {
    const read = await link.ask((client) =>
      Promise.all(entries.map((entry) => readSummary(client, at(entry.route).base, entry))),
    );
    const stale = entries.filter((_entry, place) => read[place] === undefined);
    if (stale.length > 0) await link.ask((client) => client.zrem(key, ...stale.map(({ member }) => member)));
    return read.filter((one) => one !== undefined);
  }

  /** All that is asked for, the newest first, as far as they are there when the walk comes to them. */
  async function* walk(filter: EventFilter, after?: Place): AsyncGenerator<Found> {
    let place = after;
    for (;;) {
      const range = { fromMs: filter.fromMs, toMs: filter.toMs };
      const entries = await link.ask((client) => entriesBefore(client, key, place, range, AT_ONCE));
      const last = entries.at(-1);
      if (last === undefined) return;
      place = { score: String(last.receivedMs), member: last.member };
      const wanted = entries.filter(
        ({ route, id, messageId }) =>
          (filter.route === undefined || filter.route === route) &&
          (filter.id === undefined || filter.id === id || filter.id === messageId),
      );
      const members = new Map(wanted.map((entry) => [entry.id, entry]));
      for (const one of await seen(wanted)) {
        const { member, receivedMs } = members.get(one.summary.id) as IndexEntry;
        if (isAsked(one.summary, filter)) yield { ...one, place: { score: String(receivedMs), member } };
      }
    }
  }

  async function each(filter: EventFilter, act: (one: Found) => Promise<boolean>): Promise<number> {
    let count = 0;
    for await (const one of walk(filter)) if (await act(one)) count += 1;
    return count;
  }

  async function putBack({ jobId, summary, begun }: Seen): Promise<boolean> {
    const { queue } = at(summary.route);
    const job = await link.ask(() => queue.getJob(jobId));
    if (job === undefined) return false;
    if (summary.state === 'dead') {
      // Before it is put back, so that its first attempt knows of it.
      await link.ask(() => job.updateProgress({ ...progressOf(job), base: begun }));
      return link.ask(() => job.retry('failed').then(isDone, notThere));
    }
    if (summary.state !== 'waiting') return false;
    // One that is due already stands in no set of delayed ones.
    await link.ask(() => job.promote().then(isDone, notThere));
    return true;
  }

  async function discard({ jobId, summary, place }: Found): Promise<boolean> {
    if (summary.state !== 'waiting' && summary.state !== 'dead') return false;
    // 0: it has been leased since.
    const removed = await link.ask(() => at(summary.route).queue.remove(jobId));
    if (removed === 1) await link.ask((client) => client.zrem(key, place.member));
    return removed === 1;
  }

  async function forget(route: string, claimed: string, messageId: string): Promise<boolean> {
    const [, client = ''] = claimed.slice(claimKey(prefix, '').length).split('\n');
    const held = await link.ask((asked) => asked.get(claimed));
    if (!held?.startsWith('kept:')) return false;
    // The job first: without its mark a copy would still be taken for what was accepted.
    const job = await link.ask(() => at(route).queue.getJob(jobIdOf({ route, client, messageId, id: '' })));
    if (job !== undefined)
      await link.ask(() => job.updateProgress({ ...progressOf(job), forgotten: true }).catch(notThere));
    return (await link.ask((asked) => asked.del(claimed))) === 1;
  }

  return {
    async list(filter, limit, after): Promise<EventPage> {
      const found: Found[] = [];
      for await (const one of walk(filter, placeIn(after))) {
        found.push(one);
        if (found.length > limit) break;
      }
      const events = found.slice(0, limit).map(({ summary }) => summary);
      const last = found.length > limit ? found[limit - 1] : undefined;
      return { events, next: last && placeText(last.place) };
    },
    async find(id, route): Promise<readonly EventDetail[]> {
      const entries = await scanIndex(link, key, id);
      const asked = entries.filter((entry) => route === undefined || entry.route === route);
      const details = await Promise.all(
        (await seen(asked)).map((one) =>
          link.ask((client) => readDetail(client, at(one.summary.route).base, one, seal)),
        ),
      );
      return details.filter((one) => one !== undefined).sort((a, b) => b.receivedMs - a.receivedMs);
    },
    retry: (filter) => each(filter, putBack),
    discard: (filter) => each(filter, discard),
    async forget(route, messageId) {
      const pattern = claimKey(prefix, `${globText(route)}\n*\n${globText(messageId)}`);
      const keys = await scanKeys(
        link,
        pattern.replace(/^\{(.*)\}/, (_all, name) => `{${globText(name)}}`),
      );
      const dropped = await Promise.all(keys.map((claimed) => forget(route, claimed, messageId)));
      return dropped.filter(Boolean).length;
    },
    async close() {
      await Promise.all([...routes.values()].map((opened) => opened.close()));
      await link.close();
    },
  };
}

const isDone = () => true;
const notThere = () => false;

function placeText({ score, member }: Place): string {
  return Buffer.from(`${score}\n${member}`).toString('base64url');
}

function placeIn(text: string | undefined): Place | undefined {
  if (text === undefined) return undefined;
  const [score = '', ...member] = Buffer.from(text, 'base64url').toString().split('\n');
  return { score, member: member.join('\n') };
}

/** A text as a pattern of Redis that matches itself alone. */
function globText(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&');
}

/** The entries whose event or message has this id. */
async function scanIndex(link: Link, key: string, id: string): Promise<readonly IndexEntry[]> {
  const found = new Map<string, IndexEntry>();
  let cursor = '0';
  do {
    const pattern = `*${globText(id)}*`;
    const [next, flat] = await link.ask((client) =>
      client.zscan(key, cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT),
    );
    for (let at = 0; at < flat.length; at += 2) {
      const entry = indexEntry(flat[at] ?? '', flat[at + 1] ?? '');
      if (entry.id === id || entry.messageId === id) found.set(entry.member, entry);
    }
    cursor = next;
  } while (cursor !== '0');
  return [...found.values()];
}

/** All keys of a pattern; of a cluster every part is asked. */
async function scanKeys(link: Link, pattern: string): Promise<readonly string[]> {
  const nodes = (client: Client) => (client instanceof Cluster ? client.nodes('master') : [client]);
  const found = new Set<string>();
  for (const node of nodes(link.client)) {
    let cursor = '0';
    do {
      const at = cursor;
      const [next, keys] = await link.ask(() => node.scan(at, 'MATCH', pattern, 'COUNT', SCAN_COUNT));
      for (const one of keys) found.add(one);
      cursor = next;
    } while (cursor !== '0');
  }
  return [...found];
}
