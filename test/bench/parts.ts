/**
 * What the parts of a request cost by themselves, small and large: CPU nanoseconds, the median of five rounds.
 * `node test/bench/parts.ts`
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressSet } from '../../src/addresses.ts';
import { rateCheck } from '../../src/check/rate.ts';
import { RateTables } from '../../src/check/rate-tables.ts';
import { isHopeless, parseHead } from '../../src/listen/head.ts';
import { findRoute, routeTable } from '../../src/route/table.ts';
import type { RateLimit } from '../../src/settings.ts';
import { sqliteStore } from '../../src/store/sqlite.ts';
import type { ClaimAnswer } from '../../src/store-types.ts';
import type { Head } from '../../src/types.ts';
import { cost, report } from './cost.ts';
import { messageParts } from './message-parts.ts';

function routes(count: number): void {
  for (const suffix of ['', '/*']) {
    const list = Array.from({ length: count }, (_, place) => ({
      path: `/client-${place}/events${suffix}`,
      host: undefined,
      headers: [],
    }));
    const table = routeTable(list);
    const paths = list.map(({ path }) => path.replace('*', 'x'));
    const request = (place: number) => ({ host: 'a', path: paths[place % count] as string, headers: [] });
    report(
      `find one of ${count} ${suffix === '' ? 'exact' : 'prefix'} routes`,
      cost(200_000, (place) => findRoute(table, request(place))),
    );
  }
}

function addresses(count: number): void {
  const list = Array.from(
    { length: count },
    (_, place) => `${10 + (place >> 16)}.${(place >> 8) & 255}.${place & 255}.0/25`,
  );
  const contains = addressSet(list);
  report(
    `find an address in ${count} CIDRs`,
    cost(500_000, (place) => contains((place * 2_654_435_761) >>> 0)),
  );
}

/** Every key is busy for an hour after its request: the table must hold them all, and says how many it could not. */
function rates(count: number): void {
  const limit: RateLimit = {
    count: 1,
    perMs: 3_600_000,
    burst: 1_000_000,
    key: { by: 'header', name: 'a' },
    waitMs: 0,
    waiting: 0,
    mode: 'enforce',
  };
  const check = rateCheck(limit, new RateTables().take('bench', 0, limit), Number.POSITIVE_INFINITY);
  const heads = Array.from(
    { length: count },
    (_, place) => ({ headers: ['a', `key ${place}`] }) as unknown as Head,
  );
  const refused = heads.filter((head) => check.examine(head).reason !== undefined).length;
  report(
    `count a request of one of ${count} keys, ${refused} refused`,
    cost(Math.max(count, 200_000), (place) => check.examine(heads[place % count] as Head)),
  );
}

async function claims(remembered: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-parts-'));
  const store = await sqliteStore(
    {
      path: join(folder, 'postern.db'),
      keys: [],
      retention: { deliveredMs: 0, deadMs: undefined, sizeBytes: undefined },
    },
    console.error,
  );
  let next = 0;
  const group = async (size: number) => {
    const written: Promise<void>[] = [];
    for (let place = 0; place < size; place += 1) {
      next += 1;
      const key = `codat-events\n\nmsg_${next}`;
      const answer = store.claim(key, 60_000) as ClaimAnswer;
      if (answer.state === 'owned') written.push(store.keep(key, answer.token, { status: 200 }, 3_600_000));
    }
    await Promise.all(written);
  };
  while (next < remembered) await group(10_000);
  for (const size of [1, 8, 32]) {
    const before = process.cpuUsage();
    const first = next;
    for (let round = 0; round < 20_000 / size; round += 1) await group(size);
    const { user, system } = process.cpuUsage(before);
    report(
      `claim and keep, ${size} at once, ${remembered} remembered`,
      ((user + system) * 1000) / (next - first),
    );
  }
  await store.close();
  rmSync(folder, { recursive: true, force: true });
}

/** Heads of 8 and 16 KiB: a linear grammar takes twice as long for the second. */
function hostileHeads(): void {
  const line = 'POST /codat/events HTTP/1.1\r\n';
  const shapes: Record<string, (size: number) => string> = {
    'one long value': (size) => `${line}a: ${'x'.repeat(size)}\r\n`,
    'a value of blanks': (size) => `${line}a: ${' '.repeat(size)}\u0001\r\n`,
    'a name without end': (size) => `${line}${'a'.repeat(size)}`,
    'a target of slashes': (size) => `GET ${'/a'.repeat(size / 2)} HTTP/1.1\r\nhost: a\r\n`,
    'a target of percent signs': (size) => `GET /${'%41'.repeat(size / 3)} HTTP/1.1\r\nhost: a\r\n`,
    'short fields': (size) => `${line}${'a:\r\n'.repeat(size / 4)}`,
    'carriage returns': (size) => `${line}a: ${'\r'.repeat(size)}`,
  };
  for (const [name, shape] of Object.entries(shapes)) {
    for (const size of [8_000, 16_000]) {
      const text = shape(size);
      report(
        `parse a head: ${name}, ${size} bytes`,
        cost(2_000, () => parseHead(text)),
      );
      report(
        `give up on a head: ${name}, ${size} bytes`,
        cost(2_000, () => isHopeless(text, 0)),
      );
    }
  }
}

/** Paths of 8 and 16 KiB below a prefix route, spelled so that their canonical spelling takes work. */
function hostilePaths(): void {
  const table = routeTable([{ path: '/in/*', host: undefined, headers: [] }]);
  for (const [name, part] of Object.entries({
    dots: '.',
    spaces: '%20',
    parameters: ';',
    segments: 'a/',
    letters: '%41',
  })) {
    for (const size of [8_000, 16_000]) {
      const path = `/in/${part.repeat(size / part.length)}a`;
      report(
        `find a route: a path of ${name}, ${size} bytes`,
        cost(1_000, () => findRoute(table, { host: 'a', path, headers: [] })),
      );
    }
  }
}

for (const count of [10, 10_000]) routes(count);
for (const count of [2, 100_000]) addresses(count);
for (const count of [1, 1_000_000]) rates(count);
for (const remembered of [0, 1_000_000]) await claims(remembered);
hostileHeads();
hostilePaths();
await messageParts();
