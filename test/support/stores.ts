import { createSecretKey, hash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readRedisUrl } from '../../src/config/redis-url.ts';
import type { Events, Retention } from '../../src/events.ts';
import type { Settings } from '../../src/settings.ts';
import { openEvents, openStore } from '../../src/state.ts';
import type { EncryptionKey, RedisUrl, StateSettings } from '../../src/state-settings.ts';
import type { Store } from '../../src/store-types.ts';
import { afterAll } from './ending.ts';
import { hasRedis, type RedisServer, startRedis } from './redis.ts';

export interface StateOptions {
  readonly retention?: Partial<Retention>;
  readonly keys?: readonly EncryptionKey[];
}

/** A state of its own, empty at first, on one of the drivers. */
export interface State {
  /** The file; of the driver sqlite only. */
  readonly file: string;
  /** What the stores said to an operator. */
  readonly warnings: string[];
  /** The state as a gateway has it. A second one is another gateway on the same state, where `isShared`. */
  open(options?: StateOptions): Promise<Store>;
  /** The same for the operator, where `isShared`. */
  events(options?: StateOptions): Promise<Events>;
  /** Closes everything that is open. */
  close(): Promise<void>;
}

/** A way to keep state, and what of the contract is not for it. */
export interface StateDriver {
  readonly name: StateSettings['driver'];
  /** Outlives its process, and can be opened by several. */
  readonly isShared: boolean;
  readonly isOrdered: boolean;
  /** Bounds what delivered events take up. */
  readonly boundsSize: boolean;
  /** What it needs is not there. */
  readonly isMissing: boolean;
  fresh(): Promise<State>;
}

const FOREVER: Retention = { deliveredMs: 86_400_000, deadMs: undefined, sizeBytes: undefined };

const states = new Set<State>();
afterAll(async () => {
  await Promise.all([...states].map((state) => state.close()));
});

let redis: Promise<RedisServer> | undefined;
let prefixes = 0;

/** Every driver that a test of the contract runs against. */
export const DRIVERS: readonly StateDriver[] = [
  driver('memory', { isShared: false, isOrdered: true, boundsSize: false }, (retention) => ({
    driver: 'memory',
    retention,
  })),
  driver('sqlite', { isShared: true, isOrdered: true, boundsSize: true }, (retention, keys, file) => ({
    driver: 'sqlite',
    path: file,
    keys,
    retention,
  })),
  driver(
    'redis',
    { isShared: true, isOrdered: false, boundsSize: false, isMissing: !hasRedis() },
    async (retention, keys, file) => {
      redis ??= startRedis();
      return {
        driver: 'redis',
        url: readRedisUrl((await redis).url) as RedisUrl,
        prefix: `test${hash('sha256', file).slice(0, 12)}`,
        tls: undefined,
        keys,
        retention,
      };
    },
  ),
];

/** A fresh state on a file. */
export const freshSqlite = (): Promise<State> => (DRIVERS[1] as StateDriver).fresh();

type MakeSettings = (
  retention: Retention,
  keys: readonly EncryptionKey[],
  file: string,
) => StateSettings | Promise<StateSettings>;

function driver(
  name: StateSettings['driver'],
  can: { isShared: boolean; isOrdered: boolean; boundsSize: boolean; isMissing?: boolean },
  settings: MakeSettings,
): StateDriver {
  return {
    name,
    isMissing: false,
    ...can,
    async fresh() {
      prefixes += 1;
      const folder = mkdtempSync(join(tmpdir(), `postern-${name}-${prefixes}-`));
      return newState(folder, settings);
    },
  };
}

function newState(folder: string, settings: MakeSettings): State {
  const file = join(folder, 'state.db');
  const open = new Set<{ close(): Promise<void> }>();
  const warnings: string[] = [];
  const notes = {
    warn: (sentence: string) => void warnings.push(sentence),
    away: () => undefined,
    back: () => undefined,
  };
  const settingsOf = async ({ retention, keys = [] }: StateOptions): Promise<Settings> =>
    ({ state: await settings({ ...FOREVER, ...retention }, keys, file) }) as Settings;
  const kept = <T extends { close(): Promise<void> }>(one: T): T => {
    const { close } = one;
    one.close = () => {
      const isOpen = open.delete(one);
      return isOpen ? close() : Promise.resolve();
    };
    open.add(one);
    return one;
  };
  const state: State = {
    file,
    warnings,
    open: async (options = {}) => kept(await openStore(await settingsOf(options), notes)),
    events: async (options = {}) => kept(await openEvents(await settingsOf(options))),
    async close() {
      for (const one of [...open]) await one.close();
      states.delete(state);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  states.add(state);
  return state;
}

/** An encryption key, told from others by a number. */
export function encryptionKey(fill: number): EncryptionKey {
  const bytes = Buffer.alloc(32, fill);
  return { id: hash('sha256', bytes).slice(0, 8), key: createSecretKey(bytes) };
}

/** Asks until the answer is not `undefined`; fails after some seconds with what was asked. */
export async function eventually<T>(
  ask: () => T | undefined | Promise<T | undefined>,
  what: string,
): Promise<T> {
  const endMs = performance.now() + 12_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > endMs) throw new Error(`never came about: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The state in a file at this path, as a gateway has it; its end is up to whoever opens it. */
export function openSqlite(path: string): Promise<Store> {
  const state: StateSettings = { driver: 'sqlite', path, keys: [], retention: FOREVER };
  const notes = { warn: () => undefined, away: () => undefined, back: () => undefined };
  return openStore({ state } as Settings, notes);
}
