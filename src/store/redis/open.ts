import type { StateSettings } from '../../state-settings.ts';
import type { Store } from '../../store-types.ts';
import { sealer } from '../seal.ts';
import { openAgain } from './again.ts';
import { CLAIM, KEEP, RELEASE } from './claim-scripts.ts';
import { sharedClaims } from './claims.ts';
import type { Client } from './client.ts';
import { durabilityWarnings } from './durability.ts';
import { TAKE } from './gcra.ts';
import { type LinkNotes, openLink } from './link.ts';
import { openOwner } from './owner.ts';
import { sharedQueue } from './queue.ts';
import { sharedRates } from './rates.ts';
import { runScript } from './scripts.ts';

/** How long the start waits for Redis before it goes on without: not ready, and trying. */
const START_MS = 1500;

export type RedisStateSettings = Extract<StateSettings, { driver: 'redis' }>;

export interface RedisNotes extends LinkNotes {
  /** What is legal of Redis's own settings, but can lose events. */
  warn(sentence: string): void;
}

/** State that several gateways share. Never throws: a Redis that is away at the start may come. */
export async function redisStore(settings: RedisStateSettings, notes: RedisNotes): Promise<Store> {
  // In braces: a cluster puts all keys of one prefix into one slot, and a script may touch several.
  const prefix = `{${settings.prefix}}`;
  const owner = openOwner();
  const link = openLink(settings, (client) => tryOut(client, prefix, owner.name), notes);
  const again = openAgain(link);
  const claims = sharedClaims({ link, prefix, owner, again });
  const [first, ...others] = settings.keys;
  const queue = sharedQueue({
    link,
    prefix,
    owner,
    claims,
    again,
    sealer: first && sealer([first, ...others]),
    retention: settings.retention,
    warn: notes.warn,
  });
  let isTold = false;
  link.onBack(() => {
    if (isTold) return;
    isTold = true;
    durabilityWarnings(link.client, settings).then((sentences) => {
      for (const sentence of sentences) notes.warn(sentence);
    });
  });
  await link.ready(START_MS);
  return {
    claim: claims.claim,
    keep: claims.keep,
    release: claims.release,
    queue,
    rates: sharedRates(link, prefix),
    problem: link.problem,
    async close() {
      claims.close();
      again.close();
      await queue.close();
      await link.close();
      owner.end();
    },
  };
}

/** All that is done with claims and rates, on keys of its own. */
async function tryOut(client: Client, prefix: string, owner: string): Promise<void> {
  const key = `${prefix}:probe:${owner}`;
  await Promise.all([
    runScript(client, CLAIM, [key], ['flight:probe', 1000, '']),
    runScript(client, KEEP, [key], ['flight:probe', 'flight:probe', 1000]),
    runScript(client, RELEASE, [key, `${key}:outcome`], ['flight:probe', '', 1]),
    runScript(client, TAKE, [`${key}:rate`], [1, 1, 1, 1, 1]),
    client.mget(key, `${key}:outcome`),
  ]);
}
