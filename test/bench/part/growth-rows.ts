import { join } from 'node:path';
import { parse } from 'yaml';
import { sqliteStore } from '../../../src/store/sqlite.ts';
import type { ClaimAnswer } from '../../../src/store-types.ts';
import { type EventShape, ORDINARY, routePath } from '../event.ts';
import type { Ground, OpenOptions, Peer } from '../ground.ts';
import { runTrial, startLoad } from '../trial.ts';

/** One end of a growth: a running gateway and the events it is measured with. */
export interface Side {
  /** How much there is, in words. */
  readonly size: string;
  readonly peer: Peer;
  readonly shape: EventShape;
}

export interface Growth {
  readonly what: string;
  /** Starts the gateways of both ends; `close` stops them. */
  readonly open: (
    ground: Ground,
    connections: number,
  ) => Promise<{ readonly small: Side; readonly large: Side; readonly close: () => Promise<void> }>;
}

const ROUTES = { small: 10, large: 10_000 };
const CIDRS = { small: 2, large: 100_000 };
/** More than the table takes: how many it counted is what its answers say. */
const KEYS = { small: 1, large: 1_000_000 };
/** The keys of the measured requests are the first that came: these are in the table for certain. */
const MEASURED_KEYS = 200_000;
const IDS = { small: 0, large: 1_000_000 };
const IDLE = { small: 1, large: 5_000 };
const KIB = 1024;

/** The part of Postern's configuration that is changed here. */
interface Configuration {
  routes: { name: string; path: string; addresses: string[]; rate_limit: object }[];
}

export const GROWTHS: readonly Growth[] = [
  {
    what: 'routes',
    open: (ground) =>
      openBoth(
        ground,
        (count) => ({
          size: words(count),
          shape: { ...ORDINARY, routes: count },
          options: withRoutes(count),
        }),
        ROUTES,
      ),
  },
  {
    what: 'CIDRs in the list of addresses',
    open: (ground) =>
      openBoth(
        ground,
        (count) => ({ size: words(count), shape: ORDINARY, options: withAddresses(count) }),
        CIDRS,
      ),
  },
  { what: 'rate-limit keys', open: openKeys },
  {
    what: 'remembered event ids',
    open: (ground) =>
      openBoth(
        ground,
        (count) => ({ size: words(count), shape: ORDINARY, options: withRemembered(count) }),
        IDS,
      ),
  },
  { what: 'bytes of the body', open: openBodies },
  { what: 'idle connections beside the load', open: openIdle },
];

async function openBoth(
  ground: Ground,
  describe: (count: number) => { size: string; shape: EventShape; options: OpenOptions },
  counts: { readonly small: number; readonly large: number },
) {
  const open = async (count: number): Promise<Side> => {
    const { size, shape, options } = describe(count);
    return { size, shape, peer: await ground.open('postern', { ...options, shape }) };
  };
  const small = await open(counts.small);
  const large = await open(counts.large);
  return { small, large, close: () => stopBoth(small, large) };
}

async function stopBoth(small: Side, large: Side): Promise<void> {
  await Promise.all([small.peer.stop(), large.peer.stop()]);
}

/** JSON is YAML: the changed configuration is written as that. */
function configured(change: (configuration: Configuration) => void): OpenOptions {
  return {
    configure: (yaml) => {
      const configuration = parse(yaml) as Configuration;
      change(configuration);
      return JSON.stringify(configuration);
    },
  };
}

/** The measured events go to all of them in turn. */
function withRoutes(count: number): OpenOptions {
  return configured((configuration) => {
    const [route] = configuration.routes;
    if (route === undefined) return;
    configuration.routes = Array.from({ length: count }, (_, place) => ({
      ...route,
      name: `events-${place}`,
      path: routePath(place),
    }));
  });
}

/** The sender's own network, and others that have nothing in common with it or each other. */
function withAddresses(count: number): OpenOptions {
  const others = Array.from(
    { length: count - 1 },
    (_, place) => `${20 + (place >> 16)}.${(place >> 8) & 255}.${place & 255}.0/25`,
  );
  return configured(({ routes: [route] }) => {
    if (route !== undefined) route.addresses = ['127.0.0.0/8', ...others];
  });
}

/** Written by the store's own code into the state file, before the gateway opens it. */
function withRemembered(count: number): OpenOptions {
  return {
    prepare: async (folder) => {
      if (count === 0) return;
      const store = await sqliteStore(
        {
          path: join(folder, 'postern.db'),
          keys: [],
          retention: { deliveredMs: 0, deadMs: undefined, sizeBytes: undefined },
        },
        console.error,
      );
      const group = 10_000;
      for (let first = 0; first < count; first += group) {
        const kept = Array.from({ length: group }, (_, place) => {
          const key = `codat-events\n\nmsg_bench-${first + place}`;
          const answer = store.claim(key, 60_000) as ClaimAnswer;
          return answer.state === 'owned'
            ? store.keep(key, answer.token, { status: 200 }, 86_400_000)
            : undefined;
        });
        await Promise.all(kept);
      }
      await store.close();
    },
  };
}

/** A key is busy for an hour after each request, so none makes room for another. */
async function openKeys(ground: Ground) {
  const options = configured(({ routes: [route] }) => {
    if (route !== undefined) route.rate_limit = { rate: '1/1h', burst: 1_000_000, by: 'header:x-bench-key' };
  });
  const open = (keys: number) => ground.open('postern', { ...options, shape: { ...ORDINARY, keys } });
  const [few, many] = [await open(KEYS.small), await open(MEASURED_KEYS)];
  const { load } = await runTrial(ground, many, {
    kind: 'keys',
    requests: KEYS.large,
    connections: 16,
    accepts: [401, 429],
  });
  const counted = load.statuses[401] ?? 0;
  const small = { size: words(KEYS.small), peer: few, shape: { ...ORDINARY, keys: KEYS.small } };
  const large = { size: words(counted), peer: many, shape: { ...ORDINARY, keys: MEASURED_KEYS } };
  return { small, large, close: () => stopBoth(small, large) };
}

async function openBodies(ground: Ground) {
  const peer = await ground.open('postern');
  const side = (kib: number): Side => ({
    size: kib < KIB ? `${kib} KiB` : `${kib / KIB} MiB`,
    peer,
    shape: { ...ORDINARY, bodyBytes: kib * KIB },
  });
  return { small: side(64), large: side(KIB), close: () => peer.stop() };
}

/** The idle ones have carried one event each. */
async function openIdle(ground: Ground, connections: number) {
  const open = async (count: number) => {
    const peer = await ground.open('postern');
    const atOnce = Math.min(connections, count);
    const idle = await startLoad(ground, peer, { requests: count, connections: count, atOnce });
    await idle.go();
    return { side: { size: words(count), peer, shape: ORDINARY }, idle };
  };
  const [few, many] = [await open(IDLE.small), await open(IDLE.large)];
  const close = async () => {
    few.idle.release();
    many.idle.release();
    await stopBoth(few.side, many.side);
  };
  return { small: few.side, large: many.side, close };
}

function words(count: number): string {
  return count.toLocaleString('en-US');
}
