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

type Parts = Pick<QueueParts, 'database' | 'writer' | 'books' | 'clock' | 'remove' | 'retention'>;

/**
 * Once a second, and on until there is no more: removes delivered events that are too old or take up too much, and
 * dead letters that are too old, the first to finish first; then gives the disk back what the file does not need.
 * @returns ends it
 */
export function retain({ database, writer, books, clock, remove, retention }: Parts): () => void {
  const oldest = database.prepare(`
    SELECT ${REMOVABLE}, due FROM events INDEXED BY finished
    WHERE finished IS NOT NULL AND state = ? ORDER BY finish_no LIMIT 1`);
  const free = database.prepare('PRAGMA freelist_count');
  const all = database.prepare('PRAGMA page_count');
  const { deliveredMs, deadMs = Number.POSITIVE_INFINITY, sizeBytes = Number.POSITIVE_INFINITY } = retention;
  let timer: NodeJS.Timeout | undefined;
  let isBusy = false;

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
    return undefined;
  }

  function spare(): boolean {
    const pages = (all.get() as { page_count: number }).page_count;
    const { freelist_count } = free.get() as { freelist_count: number };
    return freelist_count > Math.max(SPARE_PAGES, pages / SPARE_PART);
  }

  function work(): void {
    const endMs = performance.now() + SLICE_MS;
    for (let row = next(); row !== undefined && performance.now() < endMs; row = next()) remove(row);
    while (performance.now() < endMs && spare()) database.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`);
  }

  async function slice(): Promise<void> {
    try {
      if (next() === undefined && !spare()) {
        isBusy = false;
        return;
      }
      await writer.write({ apply: work, survives: 'process' });
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
