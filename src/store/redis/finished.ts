import type { Place } from './event-index.ts';
import type { Link } from './link.ts';

const AT_ONCE = 100;

/** A job that is done with, in the order in which that came to be. */
export interface Finished {
  readonly route: string;
  readonly jobId: string;
  readonly place: Place;
}

interface FinishedSet {
  readonly route: string;
  readonly state: 'completed' | 'failed';
  readonly key: string;
}

export interface FinishedWalk {
  /** What all keys of a route's queue begin with. */
  readonly baseOf: (route: string) => string;
  readonly states: readonly FinishedSet['state'][];
  /** Not before this time, milliseconds since the epoch, or behind this place. */
  readonly from?: Place | number | undefined;
}

/**
 * Walks through what is finished on several routes, the first to finish first: BullMQ has a set for each route and
 * outcome, sorted by time.
 */
export async function* walkFinished(
  link: Link,
  routes: readonly string[],
  { baseOf, states, from }: FinishedWalk,
): AsyncGenerator<Finished> {
  const sets = routes.flatMap((route) =>
    states.map((state) => ({ route, state, key: `${baseOf(route)}${state}` })),
  );
  const walks = sets.map((set) => walkSet(link, set, from));
  const heads = await Promise.all(walks.map((walk) => walk.next()));
  for (;;) {
    let first = -1;
    for (const [index, { value }] of heads.entries()) {
      if (value !== undefined && (first === -1 || isBefore(value.place, heads[first]?.value?.place)))
        first = index;
    }
    const head = heads[first]?.value;
    if (head === undefined) return;
    yield head;
    heads[first] = await (walks[first] as AsyncGenerator<Finished, undefined>).next();
  }
}

async function* walkSet(
  link: Link,
  { route, state, key }: FinishedSet,
  from: Place | number | undefined,
): AsyncGenerator<Finished, undefined> {
  let place = typeof from === 'object' ? from : undefined;
  let score = typeof from === 'number' ? String(from) : (place?.score ?? '-inf');
  for (let offset = 0; ; ) {
    const [at, start] = [offset, score];
    const flat = await link.ask((client) =>
      client.zrangebyscore(key, start, '+inf', 'WITHSCORES', 'LIMIT', at, AT_ONCE),
    );
    for (let index = 0; index < flat.length; index += 2) {
      const [jobId = '', reached = ''] = [flat[index], flat[index + 1]];
      const found = { score: reached, member: `${route}\n${state}\n${jobId}` };
      if (place === undefined || isBefore(place, found)) yield { route, jobId, place: found };
    }
    if (flat.length < AT_ONCE * 2) return undefined;
    // On from the last time that was seen; many of one time are passed over by their number.
    const last = flat.at(-1) ?? '';
    offset = last === score ? offset + AT_ONCE : 0;
    place = { score: last, member: `${route}\n${state}\n${flat.at(-2)}` };
    score = last;
  }
}

function isBefore(a: Place, b: Place | undefined): boolean {
  if (b === undefined) return true;
  return Number(a.score) < Number(b.score) || (a.score === b.score && a.member < b.member);
}
