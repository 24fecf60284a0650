import type { Presence } from './presence.ts';
import type { ProcessLock } from './process-lock.ts';
import type { StateWriter } from './writer.ts';

export interface GoneOptions {
  readonly presence: Presence;
  readonly writer: StateWriter;
  /** Belongs into a transaction: what processes had in flight or leased that are not there any more is free. */
  readonly removeOwnerless: () => void;
  /** A process was gone, and that is written. */
  readonly removed: () => void;
  readonly warn: (sentence: string) => void;
}

/** Processes that ended without leaving: what they had in flight is free as soon as another finds out. */
export class Gone {
  readonly #options: GoneOptions;
  readonly #underWay = new Set<number>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(options: GoneOptions) {
    this.#options = options;
  }

  /** Looks for them, but not where that was done in the last `sinceMs`. */
  look(sinceMs = 0): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedMs < sinceMs) return;
    this.#lookedMs = nowMs;
    const { presence } = this.#options;
    for (const { id, pid } of presence.neighbours() ?? []) {
      const lock = this.#underWay.has(id) ? undefined : presence.lockOfGone(id);
      if (lock !== undefined) void this.#bury(id, pid, lock);
    }
  }

  /** Takes a process out of the file; belongs into a transaction. */
  remove(id: number, lock: ProcessLock): void {
    // Before its entry is: without a file it counts as gone, and without an entry nobody would look for its file.
    lock.removeFile();
    this.#options.presence.remove(id);
    this.#options.removeOwnerless();
  }

  async #bury(id: number, pid: number, lock: ProcessLock): Promise<void> {
    const { writer, warn, removed } = this.#options;
    this.#underWay.add(id);
    try {
      await writer.write({ survives: 'process', apply: () => this.remove(id, lock) });
    } catch {
      // The next look finds it again.
      return;
    } finally {
      lock.letGo();
      this.#underWay.delete(id);
    }
    warn(goneSentence(pid));
    removed();
  }
}

export function goneSentence(pid: number): string {
  return `a process that shared the state (pid ${pid}) is gone without a word; what it had in flight is free`;
}
