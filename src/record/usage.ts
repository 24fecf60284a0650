import { hash } from 'node:crypto';
import { settingsOf } from '../clients.ts';
import { laneOf } from '../lane.ts';
import type { RouteSettings } from '../settings.ts';
import type { SignatureKey } from '../signature-settings.ts';
import type { Entry } from './entry.ts';

/** How often something was met by this process, and when last; times in milliseconds since the epoch. */
export interface Tally {
  /** Since when it is counted: since the start, or since the configuration that brought it. */
  readonly sinceMs: number;
  count: number;
  lastMs: number | undefined;
}

/**
 * What a route, or one of its clients, has met: requests that it was chosen for, and by which of its own secrets they were
 * signed.
 */
export interface RouteUsage {
  readonly requests: Tally;
  /** Those that it neither refused nor quarantined. */
  readonly letIn: Tally;
  /** By the place of the secret. */
  readonly secrets: readonly Tally[];
  /** The same, by a digest of the secret: that is what stays the same where places change. */
  readonly byKey: ReadonlyMap<string, Tally>;
}

/** By the name of the route, and for a client of it by that of its lane. */
export type Usage = ReadonlyMap<string, RouteUsage>;

/**
 * Begins to count for these routes. What counts on is shared with the usage before: routes by their names, secrets by
 * themselves, so that one that moved to another place takes its count along.
 */
export function usageOf(routes: readonly RouteSettings[], before?: Usage): Usage {
  const nowMs = Date.now();
  const fresh = (): Tally => ({ sinceMs: nowMs, count: 0, lastMs: undefined });
  return new Map(
    routes.flatMap(settingsOf).map((route): [string, RouteUsage] => {
      const lane = laneOf(route.name, route.client?.id);
      const known = before?.get(lane);
      const byKey = new Map<string, Tally>();
      const secrets = ownKeysOf(route).map((key) => {
        const digest = digestOf(key);
        const tally = byKey.get(digest) ?? known?.byKey.get(digest) ?? fresh();
        byKey.set(digest, tally);
        return tally;
      });
      const { requests = fresh(), letIn = fresh() } = known ?? {};
      return [lane, { requests, letIn, secrets, byKey }];
    }),
  );
}

/** The keys that are a client's own; those that it has of its route are the route's. */
function ownKeysOf({ signature, client }: RouteSettings): readonly SignatureKey[] {
  return (client === undefined ? signature?.keys : client.keys) ?? [];
}

/** Counts one request. */
export function countUse(
  usage: Usage,
  { route, client, secret, outcome }: Pick<Entry, 'route' | 'client' | 'secret' | 'outcome'>,
): void {
  const used = route === undefined ? undefined : usage.get(route);
  if (route === undefined || used === undefined) return;
  const nowMs = Date.now();
  const ofClient = client === undefined ? undefined : usage.get(laneOf(route, client));
  for (const { requests, letIn } of ofClient === undefined ? [used] : [used, ofClient]) {
    met(requests, nowMs);
    if (!isKeptOut(outcome)) met(letIn, nowMs);
  }
  if (secret === undefined) return;
  const whose = ofClient !== undefined && ofClient.secrets.length > 0 ? ofClient : used;
  const tally = whose.secrets[secret];
  if (tally !== undefined) met(tally, nowMs);
}

function isKeptOut(outcome: Entry['outcome']): boolean {
  return outcome === 'refused' || outcome === 'quarantined';
}

function met(tally: Tally, nowMs: number): void {
  tally.count += 1;
  tally.lastMs = nowMs;
}

function digestOf({ key }: SignatureKey): string {
  return hash('sha256', key.type === 'secret' ? key.export() : key.export({ format: 'der', type: 'spki' }));
}
