import { type Claim, type Claimed, claimEvent, isSuccess } from '../../claim.ts';
import type { EventDetail, EventFilter, Events } from '../../events.ts';
import { ownerOf } from '../../lane.ts';
import type { Forced, Release, Releasing } from '../../quarantined.ts';
import type { Settings } from '../../settings.ts';
import { openStore } from '../../state.ts';
import type { Store } from '../../store-types.ts';
import type { Settlement } from '../../types.ts';
import { findAll } from './open.ts';
import { eachEvent } from './pages.ts';
import { type Judge, judges } from './release-judge.ts';
import { notFound } from './show.ts';
import { visible } from './visible.ts';

/** What became of a run: how many were released, and why each of the others was not. */
export interface Released {
  readonly released: number;
  readonly problems: readonly string[];
}

/** So many at a time: they share a transaction, and their bodies are in memory. */
const AT_ONCE = 16;
/** A copy that is being delivered may take longer; then the operator looks again. */
const WAIT_MS = 3000;
const LEASE_MS = 30_000;
const TRIES = 2;

/** Releases all of the quarantine that a filter asks for, the first to come first. */
export async function releaseAll(events: Events, settings: Settings, filter: EventFilter): Promise<Released> {
  const places: string[] = [];
  for await (const { place } of eachEvent(events, filter)) places.push(place);
  places.reverse();
  return withReleaser(settings, undefined, async (release) => {
    for (let from = 0; from < places.length; from += AT_ONCE)
      await Promise.all(
        places.slice(from, from + AT_ONCE).map(async (place) => {
          // What left the quarantine since the page was read is nobody's concern.
          const event = await events.read(place);
          if (event?.state === 'quarantined') await release(event);
        }),
      );
    return [];
  });
}

export interface ByIds {
  readonly route: string | undefined;
  /** They are released even if their signature does not hold. */
  readonly forced: Forced | undefined;
}

/** Releases the events that ids name. */
export async function releaseByIds(
  events: Events,
  settings: Settings,
  ids: readonly string[],
  { route, forced }: ByIds,
): Promise<Released> {
  return withReleaser(settings, forced, async (release) => {
    const problems: string[] = [];
    for (const id of new Set(ids)) {
      const found = await findAll(events, id, route);
      const there = found.filter(({ state }) => state === 'quarantined');
      if (found.length === 0) problems.push(notFound(id, route));
      else if (there.length === 0) problems.push(...found.map(notThere));
      // The id of a message is its sender's choice: two may have it, and only one of them is the one that was looked at.
      else if (forced !== undefined && there.length > 1)
        problems.push(
          `${visible(id)} names ${there.length} events: give --force the own id of one: ${there.map((one) => visible(one.id)).join(', ')}`,
        );
      else for (const event of there) await release(event);
    }
    return problems;
  });
}

/**
 * Opens the state as a gateway does, beside those that run: what they have in flight is known then, and no copy of an
 * event is delivered at the same time.
 */
async function withReleaser(
  settings: Settings,
  forced: Forced | undefined,
  work: (release: (event: EventDetail) => Promise<void>) => Promise<readonly string[]>,
): Promise<Released> {
  const tell = (sentence: string): void => void process.stderr.write(`note: ${sentence}\n`);
  const store = await openStore(settings, { warn: tell, away: tell, back: () => undefined });
  const judgeOf = judges(settings.routes, forced);
  const problems: string[] = [];
  let released = 0;
  try {
    const more = await work(async (event) => {
      const problem = await releaseOne(store, event, judgeOf(event.route));
      if (problem === undefined) released += 1;
      else problems.push(`${visible(event.id)} (route ${visible(event.route)}): ${problem}`);
    });
    return { released, problems: [...more, ...problems] };
  } finally {
    await store.close();
  }
}

/** @returns why it stays; `undefined`: it does not */
async function releaseOne(
  store: Store,
  event: EventDetail,
  judge: Judge | undefined,
): Promise<string | undefined> {
  if (judge === undefined)
    return 'the configuration has no such route or client, or no signature on it, so nothing can be judged';
  if (event.unreadable !== undefined) return visible(event.unreadable);
  const release = judge.examine(event);
  if (typeof release === 'string') return release;
  try {
    if (release.messageId === undefined) return told(await store.queue.release(release, undefined));
    const claimed = await claim(store, event, release.messageId, judge.rememberMs);
    if ('claim' in claimed) return await releaseUnder(store, release, claimed.claim);
    if (!('reason' in claimed)) return DUPLICATE;
    return claimed.reason === 'claim.in_flight'
      ? 'a copy of its message is being delivered at this moment; look again when that has ended'
      : `${claimed.reason}: ${claimed.detail}`;
  } catch (error) {
    return `it could not be released: ${(error as Error).message}`;
  }
}

/** Whatever comes of it, the claim does not stay in flight. */
async function releaseUnder(store: Store, release: Release, claim: Claim): Promise<string | undefined> {
  try {
    const became = await store.queue.release(release, claim.held);
    if (became === 'duplicate') await claim.settle({ status: 202 });
    if (became === 'gone') claim.settle({ reason: 'gateway.error' });
    return told(became);
  } catch (error) {
    claim.settle({ reason: 'state.unavailable' });
    throw error;
  }
}

/** A copy that was in flight and was not delivered leaves the message to whoever comes next. */
async function claim(
  store: Store,
  { route: lane, client }: EventDetail,
  messageId: string,
  rememberMs: number,
): Promise<Claimed> {
  const options = {
    route: ownerOf(lane).route,
    client,
    messageId,
    leaseMs: LEASE_MS,
    rememberMs,
    waitMs: WAIT_MS,
  };
  for (let tries = 1; ; tries += 1) {
    const claimed = await claimEvent(store, options);
    const isFree = 'copyOf' in claimed && !isDelivered(claimed.copyOf);
    if (!isFree) return claimed;
    if (tries === TRIES) return { reason: 'claim.in_flight' };
  }
}

function isDelivered(copyOf: Settlement): boolean {
  return copyOf.reason === undefined && isSuccess(copyOf);
}

function told(became: Releasing): string | undefined {
  switch (became) {
    case 'released':
      return undefined;
    case 'duplicate':
      return DUPLICATE;
    case 'gone':
      return 'it has left the quarantine in the meantime';
  }
}

const DUPLICATE =
  'a duplicate: its message was delivered or accepted before, so it stays; discard it, or forget the message first';

function notThere({ id, route, state }: EventDetail): string {
  return `${visible(id)} (route ${visible(route)}) does not lie in quarantine: it is ${state}`;
}
