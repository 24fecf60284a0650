import type { EventDetail, EventFilter, EventPage, Events } from '../../events.ts';
import { isAskedLane } from '../../lane.ts';
import type { RedisSettings } from '../../state-settings.ts';
import { type Sealer, sealer } from '../seal.ts';
import {
  entriesBefore,
  entriesOf,
  indexEntry,
  indexKey,
  type Place,
  placeIn,
  placeText,
  routesKey,
} from './event-index.ts';
import { walkFinished } from './finished.ts';
import { forgetMessage } from './forget.ts';
import { isAsked, jobOf, type Looked, readDetail, readSummary, type Seen } from './job-view.ts';
import { progressOf } from './leases.ts';
import { type Link, openLink } from './link.ts';
import { leaveQuarantine } from './quarantine-scripts.ts';
import { openRouteQueue, type RouteQueue } from './route-queue.ts';

const CONNECT_MS = 5000;
const AT_ONCE = 100;
/** An entry without a job that is older than this will not get one any more. */
const STALE_MS = 600_000;

/** An event, and where a walk through all of them stands at it. */
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
  const [first, ...others] = settings.keys;
  return eventsOver(link, `{${settings.prefix}}`, first && sealer([first, ...others]));
}

function eventsOver(link: Link, prefix: string, seal: Sealer | undefined): Events {
  const routes = new Map<string, RouteQueue>();
  const key = indexKey(prefix);

  function at(route: string): RouteQueue {
    const opened = routes.get(route) ?? openRouteQueue(link, prefix, route);
    routes.set(route, opened);
    return opened;
  }

  const look = (jobs: readonly Looked[]) =>
    link.ask((client) => Promise.all(jobs.map((job) => readSummary(client, at(job.route).base, job))));

  /** The newest first; entries that have outlived their jobs are removed on the way. */
  async function* walkReceived(filter: EventFilter, after: Place | undefined): AsyncGenerator<Found> {
    const range = { fromMs: filter.fromMs, toMs: filter.toMs };
    for (let place = after; ; ) {
      const from = place;
      const entries = await link.ask((client) => entriesBefore(client, key, from, range, AT_ONCE));
      const wanted = entries.filter(
        ({ route, id, messageId }) =>
          (filter.route === undefined || isAskedLane(route, filter.route)) &&
          (filter.id === undefined || filter.id === id || filter.id === messageId),
      );
      const seen = await look(wanted.map(jobOf));
      // An event is in the index before its job is there.
      const staleMs = Date.now() - STALE_MS;
      const stale = wanted.filter(
        ({ receivedMs }, index) => seen[index] === undefined && receivedMs < staleMs,
      );
      if (stale.length > 0)
        await link.ask((client) => client.zrem(key, ...stale.map(({ member }) => member)));
      for (const [index, { receivedMs, member }] of wanted.entries()) {
        const one = seen[index];
        if (one !== undefined) yield { ...one, place: { score: String(receivedMs), member } };
      }
      const last = entries.at(-1);
      if (last === undefined) return;
      place = { score: String(last.receivedMs), member: last.member };
    }
  }

  /** The first to finish first. */
  async function* walkDone(filter: EventFilter, after: Place | undefined): AsyncGenerator<Found> {
    const { route: asked } = filter;
    const all = await link.ask((client) => client.smembers(routesKey(prefix)));
    const names = asked === undefined ? all : all.filter((lane) => isAskedLane(lane, asked));
    const from = after ?? filter.finishedFromMs;
    const states = ['completed', 'failed'] as const;
    const walk = walkFinished(link, names, { baseOf: (name) => at(name).base, states, from });
    for await (const { route, jobId, place } of walk) {
      const [one] = await look([{ route, jobId, id: undefined }]);
      if (one?.summary.finishedMs !== undefined) yield { ...one, place };
    }
  }

  /** Acts on all that is asked for, as far as it is there when the walk comes to it. */
  async function each(filter: EventFilter, act: (one: Seen) => Promise<boolean>): Promise<number> {
    let count = 0;
    for await (const one of walkReceived(filter, undefined)) {
      if (isAsked(one.summary, filter) && (await act(one))) count += 1;
    }
    return count;
  }

  async function putBack({ jobId, summary, begun }: Seen): Promise<boolean> {
    if (summary.state !== 'dead' && summary.state !== 'waiting') return false;
    const job = await link.ask(() => at(summary.route).queue.getJob(jobId));
    if (job === undefined) return false;
    if (summary.state === 'dead') {
      // A fresh schedule; written before it is put back, so that its first attempt knows of it.
      await link.ask(() => job.updateProgress({ ...progressOf(job), base: begun }));
      return link.ask(() => job.retry('failed').then(isDone, notThere));
    }
    // One that is due already stands in no set of delayed ones.
    await link.ask(() => job.promote().then(isDone, notThere));
    return true;
  }

  async function discard({ jobId, summary, member }: Seen): Promise<boolean> {
    if (summary.state === 'quarantined')
      return link.ask((client) => leaveQuarantine(client, prefix, at(summary.route), summary));
    if (summary.state !== 'waiting' && summary.state !== 'dead') return false;
    // 0: it has been leased since.
    const removed = await link.ask(() => at(summary.route).queue.remove(jobId));
    if (removed === 1) await link.ask((client) => client.zrem(key, member));
    return removed === 1;
  }

  async function detailsOf(jobs: readonly Looked[]): Promise<readonly EventDetail[]> {
    const seen = (await look(jobs)).filter((one) => one !== undefined);
    const details = await link.ask((client) =>
      Promise.all(seen.map((one) => readDetail(client, at(one.summary.route).base, one, seal))),
    );
    return details.filter((one) => one !== undefined);
  }

  return {
    async list(filter, limit, after, order = 'received'): Promise<EventPage> {
      const walk = order === 'finished' ? walkDone : walkReceived;
      const found: Found[] = [];
      for await (const one of walk(filter, after === undefined ? undefined : placeIn(after))) {
        if (isAsked(one.summary, filter)) found.push(one);
        if (found.length > limit) break;
      }
      const last = found.length > limit ? found[limit - 1] : undefined;
      const events = found.slice(0, limit).map(({ summary }) => summary);
      return { events, next: last && placeText(last.place) };
    },
    async read(place) {
      const entry = indexEntry(Buffer.from(place, 'base64url').toString(), 0);
      return entry.route === '' ? undefined : (await detailsOf([jobOf(entry)]))[0];
    },
    async find(id, route) {
      const entries = await entriesOf(link, key, id);
      const asked = entries.filter((entry) => route === undefined || isAskedLane(entry.route, route));
      const details = await detailsOf(asked.map(jobOf));
      return details.toSorted((a, b) => b.receivedMs - a.receivedMs);
    },
    retry: (filter) => each(filter, putBack),
    discard: (filter) => each(filter, discard),
    forget: (route, messageId) => forgetMessage(link, prefix, at, { route, messageId }),
    async close() {
      await Promise.all([...routes.values()].map((opened) => opened.close()));
      await link.close();
    },
  };
}

const isDone = () => true;
const notThere = () => false;
