import { hash } from 'node:crypto';
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

/** What a route has met: requests that it was chosen for, and by which of its secrets they were signed. */
export interface RouteUsage {
  readonly requests: Tally;
  /** Those that it did not refuse. */
  readonly letIn: Tally;
  /** By the place of the secret. */
  readonly secrets: readonly Tally[];
  /** The same, by a digest of the secret: that is what stays the same where places change. */
  readonly byKey: ReadonlyMap<string, Tally>;
}

/** By the name of the route. */
export type Usage = ReadonlyMap<string, RouteUsage>;

/**
 * Begins to count for these routes. What counts on is shared with the usage before: routes by their names, secrets by
 * themselves, so that one that moved to another place takes its count along.
 */
export function usageOf(routes: readonly RouteSettings[], before?: Usage): Usage {
  const nowMs = Date.now();
  const fresh = (): Tally => ({ sinceMs: nowMs, count: 0, lastMs: undefined });
  return new Map(
    routes.map(({ name, signature }): [string, RouteUsage] => {
      const known = before?.get(name);
      const byKey = new Map<string, Tally>();
      const secrets = (signature?.keys ?? []).map((key) => {
        const digest = digestOf(key);
        const tally = byKey.get(digest) ?? known?.byKey.get(digest) ?? fresh();
        byKey.set(digest, tally);
        return tally;
      });
      const { requests = fresh(), letIn = fresh() } = known ?? {};
      return [name, { requests, letIn, secrets, byKey }];
    }),
  );
}

/** Counts one request. */
export function countUse(
  usage: Usage,
  { route, secret, outcome }: Pick<Entry, 'route' | 'secret' | 'outcome'>,
): void {
  const used = route === undefined ? undefined : usage.get(route);
  if (used === undefined) return;
  const nowMs = Date.now();
  met(used.requests, nowMs);
  if (outcome !== 'refused') met(used.letIn, nowMs);
  const tally = secret === undefined ? undefined : used.secrets[secret];
  if (tally !== undefined) met(tally, nowMs);
}

function met(tally: Tally, nowMs: number): void {
  tally.count += 1;
  tally.lastMs = nowMs;
}

function digestOf({ key }: SignatureKey): string {
  return hash('sha256', key.type === 'secret' ? key.export() : key.export({ format: 'der', type: 'spki' }));
}
