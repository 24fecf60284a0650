import type { DatabaseSync, StatementSync } from 'node:sqlite';

const POLL_MS = 100;

/** Tells the workers when events may have become due by another's hand. */
export class Watch {
  readonly #wakes: ((route: string) => void)[] = [];
  readonly #version: StatementSync;
  readonly #routes: StatementSync;
  readonly #isShared: boolean;
  #polling: NodeJS.Timeout | undefined;
  #seen: unknown;

  constructor(database: DatabaseSync, isShared: boolean) {
    this.#isShared = isShared;
    this.#version = database.prepare('PRAGMA data_version');
    this.#routes = database.prepare('SELECT route FROM tallies WHERE unfinished > 0');
  }

  add(wake: (route: string) => void): void {
    this.#wakes.push(wake);
    if (!this.#isShared || this.#polling !== undefined) return;
    this.#seen = this.#dataVersion();
    this.#polling = setInterval(() => this.#poll(), POLL_MS).unref();
  }

  wake(route: string): void {
    for (const wake of this.#wakes) wake(route);
  }

  wakeAll(): void {
    for (const { route } of this.#routes.all()) this.wake(route as string);
  }

  close(): void {
    clearInterval(this.#polling);
  }

  /** The number changes whenever another connection has committed; asking for it reads a word of shared memory. */
  #poll(): void {
    try {
      const version = this.#dataVersion();
      if (version === this.#seen) return;
      this.#seen = version;
      this.wakeAll();
    } catch {
      // The writer says what is wrong with the file; the next poll tries again.
      this.#seen = undefined;
    }
  }

  #dataVersion(): unknown {
    return this.#version.get()?.data_version;
  }
}
