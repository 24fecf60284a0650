import type { Queue } from '../events.ts';
import type { Quarantining } from '../quarantined.ts';
import { eventInserter } from './event-insert.ts';
import { storePayload } from './payload.ts';
import type { QueueParts } from './queue.ts';
import { REMOVABLE, type Removable } from './remove.ts';

/** Keeps events that are nobody's to deliver yet. The count, the search for a copy and the insert are one transaction. */
export function quarantiner(parts: QueueParts): Queue['quarantine'] {
  const { database, writer, books, clock, sealer, remove } = parts;
  const insert = eventInserter(database, sealer);
  const findCopy = database.prepare(`
    SELECT 1 FROM events INDEXED BY quarantined WHERE state = 'quarantined' AND route = ? AND print = ?`);
  const find = database.prepare(
    `SELECT ${REMOVABLE} FROM events WHERE seq = ? AND id = ? AND state = 'quarantined'`,
  );
  /** A copy shares the fate of the one that the disk has not confirmed yet: both are told the same. */
  const underWay = new Map<string, Promise<Quarantining>>();

  const keep: Queue['quarantine'] = async (event, { print, limit, ageMs }) => {
    const { id, route } = event;
    const payload = storePayload(event, sealer);
    let kept: Quarantining = 'full';
    let seq = -1;
    await writer.write({
      survives: 'power',
      apply: () => {
        seq = -1;
        kept = 'copy';
        if (findCopy.get(route, print) !== undefined) return;
        kept = 'full';
        if (books.quarantined(route) >= limit) return;
        kept = 'stored';
        seq = insert(event, payload, { state: 'quarantined', due: clock.now() + ageMs, finished: 0, print });
        books.countQuarantined(route, 1);
        books.countKey(sealer?.keyId ?? null, 1);
      },
      undo: () => {
        const row = find.get(seq, id) as unknown as Removable | undefined;
        if (row !== undefined) remove(row);
      },
    });
    return kept;
  };

  return async (event, bounds) => {
    if (writer.problem !== undefined) throw new Error(writer.problem);
    const key = `${event.route}\n${bounds.print}`;
    const first = underWay.get(key);
    if (first !== undefined) return (await first) === 'stored' ? 'copy' : first;
    const keeping = keep(event, bounds);
    underWay.set(key, keeping);
    try {
      return await keeping;
    } finally {
      underWay.delete(key);
    }
  };
}
