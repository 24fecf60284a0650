import type { DatabaseSync } from 'node:sqlite';
import type { EventRow } from './event-row.ts';
import type { Opener } from './payload.ts';
import { MissingKeyError } from './seal.ts';
import type { StateWriter } from './writer.ts';

/**
 * Events that cannot be read: their key is not configured, or they are damaged. They are neither delivered nor lost nor
 * dead, and those that come after them in their order wait with them.
 */
export interface Unreadable {
  /** Puts a leased event aside, as if it had never been leased; belongs into a transaction. @returns false */
  seal(row: EventRow): false;
  /** The same for one that turns out to be damaged. */
  put(row: EventRow, error: Error): Promise<void>;
}

/** So many are looked at again at a time. */
const AGAIN = 500;

/** @param warn told of each key that is missed, and of each event that is damaged */
export function openUnreadable(
  database: DatabaseSync,
  writer: StateWriter,
  opener: Opener,
  warn: (sentence: string) => void,
): Unreadable {
  const setAside = database.prepare(`
    UPDATE events SET state = 'sealed', attempts = attempts - 1, until = NULL
    WHERE seq = ? AND lease = ? AND state = 'delivering'`);
  for (const { id, undelivered } of missed(database, opener)) {
    const events = undelivered === 1 ? '1 event that is' : `${undelivered} events that are`;
    warn(`${events} not delivered: ${new MissingKeyError(id).message}`);
  }
  tryAgain(database, writer, opener);
  return {
    seal({ seq, lease }) {
      setAside.run(seq, lease);
      return false;
    },
    put({ seq, lease, id, route }, error) {
      warn(`event ${id} of the route ${route} is not delivered: ${error.message}`);
      return writer.write({
        apply: () => void setAside.run(seq, lease),
        survives: 'process',
        isLasting: true,
      });
    },
  };
}

function missed(database: DatabaseSync, opener: Opener): { id: string; undelivered: number }[] {
  const rows = database.prepare('SELECT id, undelivered FROM keys WHERE undelivered > 0').all();
  return (rows as { id: string; undelivered: number }[]).filter(({ id }) => !opener.hasKey(id));
}

/** Keys may have been added since, and a file restored: what was put aside is due again. */
function tryAgain(database: DatabaseSync, writer: StateWriter, opener: Opener): void {
  const keys = database
    .prepare("SELECT DISTINCT key FROM events INDEXED BY sealed WHERE state = 'sealed'")
    .all();
  const readable = keys.map(({ key }) => key as string | null).filter(opener.hasKey);
  const free = database.prepare(`
    UPDATE events SET state = 'waiting' WHERE seq IN (
      SELECT seq FROM events INDEXED BY sealed WHERE state = 'sealed' AND key IS ? LIMIT ${AGAIN})`);
  const next = (): void => {
    const key = readable[0];
    if (key === undefined) return;
    let freed = 0;
    const apply = (): void => {
      freed = Number(free.run(key).changes);
    };
    writer.write({ apply, survives: 'process', isLasting: true }).then(
      () => {
        if (freed < AGAIN) readable.shift();
        next();
      },
      () => undefined,
    );
  };
  next();
}
