/** A change of the state, applied inside of a transaction that others share. */
export interface Change {
  /** May run again where the transaction did not come about; must not throw for any reason but the database's. */
  readonly apply: () => void;
  /**
   * What it has to outlive before its promise resolves: this process, or the machine's power. `soon`: it resolves like
   * the first, but the disk is asked to hold it at once.
   */
  readonly survives: 'process' | 'soon' | 'power';
  /** Its promise rejects at the first failure, but it is tried again until it is written. */
  readonly isLasting?: boolean;
  /** Takes it back, where it was written and the disk then did not confirm it. */
  readonly undo?: () => void;
}

/** Whoever keeps in memory what the transactions write. Must not throw but for the database's reasons. */
export interface Companion {
  /** Inside of each transaction, before its changes. */
  begun(): void;
  /** Right after it came about, before anybody is told. */
  committed(): void;
}

/** Written, but the disk did not confirm it; it is being taken back. */
export class UnconfirmedError extends Error {}

/** The changes that share a transaction. */
export interface Group {
  changes: Change[];
  committed: PromiseWithResolvers<void>;
  durable: PromiseWithResolvers<void>;
}

export function newGroup(): Group {
  const group = {
    changes: [],
    committed: Promise.withResolvers<void>(),
    durable: Promise.withResolvers<void>(),
  };
  // Whoever waits is told by the promise; one that nobody waits for must not end the process.
  silently(group.committed.promise);
  silently(group.durable.promise);
  return group;
}

export function rejectAll({ committed, durable }: Group, error: unknown): void {
  committed.reject(error);
  durable.reject(error);
}

export function silently(promise: Promise<void>): void {
  promise.catch(() => undefined);
}
