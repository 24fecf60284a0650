import type { QueueParts } from './queue.ts';
import { REMOVABLE, type Removable } from './remove.ts';

/** The event loop is not kept for longer, */
const SLICE_MS = 5;
/** and others have their turn in between. */
const PAUSE_MS = 20;
/** So many pages are moved at a time; each costs some reading and writing. */
const VACUUM_PAGES = 32;
/** What events that come will fill again is left in the file: a page that is given back has to be had back. */
const SPARE_PAGES = 512;
const SPARE_PART = 16;

type Parts = Pick<QueueParts, 'database' | 'writer' | 'books' | 'clock' | 'remove' | 'retention' | 'warn'>;

/**
 * Once a second, and on until there is no more: removes delivered events that are too old or take up too much, and
 * dead letters that are too old, the first to finish first, and what nobody released in its time; then gives the disk
 * back what the file does not need.
 * @returns ends it
 */
export function retain({ database, writer, books, clock, remove, retention, warn }: Parts): () => void {
  const oldest = database.prepare(`
    SELECT ${REMOVABLE}, due FROM events INDEXED BY finished
    WHERE finished IS NOT NULL AND state = ? ORDER BY finish_no LIMIT 1`);
  const expired = database.prepare(`
    SELECT ${REMOVABLE} FROM events INDEXED BY expiring
    WHERE state = 'quarantined' AND due <= ? ORDER BY due LIMIT 1`);
  const free = database.prepare('PRAGMA freelist_count');
  const all = database.prepare('PRAGMA page_count');
  const { deliveredMs, deadMs = Number.POSITIVE_INFINITY, sizeBytes = Number.POSITIVE_INFINITY } = retention;
  let timer: NodeJS.Timeout | undefined;
  let isBusy = false;
  /** What the last slice took out of the quarantine: its senders were told 202. */
  const lost = new Map<string, number>();

  function next(): Removable | undefined {
    const nowMs = clock.now();
    for (const [state, keptMs] of [
      ['delivered', deliveredMs],
      ['dead', deadMs],
    ] as const) {
      const row = oldest.get(state) as unknown as (Removable & { due: number }) | undefined;
      if (row === undefined) continue;
      if (row.due + keptMs <= nowMs || (state === 'delivered' && books.deliveredBytes() > sizeBytes))
        return row;
    }
    return expired.get(nowMs) as unknown as Removable | undefined;
  }

  function spare(): boolean {
    const pages = (all.get() as { page_count: number }).page_count;
    const { freelist_count } = free.get() as { freelist_count: number };
    return freelist_count > Math.max(SPARE_PAGES, pages / SPARE_PART);
  }

  function work(): void {
    const endMs = performance.now() + SLICE_MS;
    lost.clear();
    for (let row = next(); row !== undefined && performance.now() < endMs; row = next()) {
      remove(row);
      if (row.state === 'quarantined') lost.set(row.route, (lost.get(row.route) ?? 0) + 1);
    }
    while (performance.now() < endMs && spare()) database.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`);
  }

  async function slice(): Promise<void> {
    try {
      if (next() === undefined && !spare()) {
        isBusy = false;
        return;
      }
      await writer.write({ apply: work, survives: 'process' });
      for (const [route, count] of lost) warn(unreleasedSentence(route, count));
      timer = setTimeout(slice, PAUSE_MS).unref();
    } catch {
      // The writer says what is wrong with the file; the next second tries again.
      isBusy = false;
    }
  }

  writer.housekeep(() => {
    if (isBusy) return;
    isBusy = true;
    void slice();
  });
  return () => clearTimeout(timer);
}

/** Told of events that were acknowledged, and that nobody will deliver. */
export function unreleasedSentence(route: string, count: number): string {
  const events = count === 1 ? '1 event' : `${count} events`;
  return `${events} of the route ${route} lay in quarantine for as long as it keeps them, and nobody released them: removed`;
}
