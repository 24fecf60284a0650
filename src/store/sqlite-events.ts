import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { EventFilter, Events } from '../events.ts';
import type { EncryptionKey } from '../state-settings.ts';
import { forgetter } from './claims-forget.ts';
import { actor } from './event-acts.ts';
import { reader } from './event-detail.ts';
import { conditionOf } from './event-filter.ts';
import type { EventRow } from './event-row.ts';
import { opener } from './payload.ts';
import { VERSION } from './schema.ts';
import { sealerOf } from './seal.ts';
import { explained, StateFileError, versionOf } from './state-file.ts';

/** A gateway's transactions are short; another's backup may take longer. */
const BUSY_MS = 2000;

/**
 * The events of a state file, for the operator: beside a gateway that uses it, in transactions that keep that for some
 * milliseconds at most, or without one.
 * @throws Error where there is no such file, or it cannot be used
 */
export async function openSqliteEvents(path: string, keys: readonly EncryptionKey[]): Promise<Events> {
  const database = open(path);
  const skew = database.prepare("SELECT value FROM numbers WHERE name = 'skew'");
  const clock = {
    now: () => Date.now() + clock.skewMs,
    get skewMs() {
      return (skew.get() as { value: number }).value;
    },
  };
  const pieces = opener(sealerOf(keys));
  const { summary, detail } = reader(database, pieces, clock);
  const byPlace = database.prepare('SELECT * FROM events WHERE seq = ?');

  function select(filter: EventFilter, more: string, ...values: readonly (string | number)[]): EventRow[] {
    const condition = conditionOf(filter, clock.now());
    return database
      .prepare(`SELECT * FROM events WHERE ${condition.sql} ${more}`)
      .all(...condition.values, ...values) as unknown as EventRow[];
  }

  /** Each of the two has its own stretch of the index; together they are read as one. */
  function finished(filter: EventFilter, after: number, limit: number): EventRow[] {
    return (['delivered', 'dead'] as const)
      .filter((state) => filter.states?.includes(state) ?? true)
      .flatMap((state) =>
        select(
          { ...filter, states: undefined },
          `AND finished IS NOT NULL AND state = '${state}' AND finish_no > ? ORDER BY finish_no LIMIT ?`,
          after,
          limit,
        ),
      )
      .sort((one, other) => (one.finish_no ?? 0) - (other.finish_no ?? 0))
      .slice(0, limit);
  }

  return {
    async list(filter, limit, after, order = 'received') {
      const isReceived = order === 'received';
      // One more than is asked for tells whether there is a next page.
      const rows = isReceived
        ? select(
            filter,
            'AND seq < ? ORDER BY seq DESC LIMIT ?',
            Number(after ?? Number.MAX_SAFE_INTEGER),
            limit + 1,
          )
        : finished(filter, Number(after ?? 0), limit + 1);
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const next = isReceived ? last?.seq : last?.finish_no;
      return { events: page.map(summary), next: rows.length > limit ? String(next) : undefined };
    },
    async read(place) {
      const row = byPlace.get(Number(place)) as unknown as EventRow | undefined;
      return row && detail(row);
    },
    find: async (id, route) => select({ id, route }, 'ORDER BY seq DESC').map(detail),
    ...actor(database, clock),
    forget: forgetter(database),
    close: async () => database.close(),
  };
}

function open(path: string): DatabaseSync {
  if (statSync(path, { throwIfNoEntry: false }) === undefined)
    throw new Error(`there is no ${path}: the gateway makes it when it starts`);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: BUSY_MS });
    const version = versionOf(database);
    if (version < VERSION)
      throw new StateFileError(
        `written by an earlier version (${version}); start the gateway with this one first`,
      );
    database.prepare('SELECT seq FROM events WHERE seq < 0').all();
    return database;
  } catch (error) {
    database?.close();
    throw explained(error);
  }
}
