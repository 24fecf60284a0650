import type { Link } from './link.ts';

const PAUSE_MS = 250;
/** A Redis that is away for longer has let the leases of what it knew run out. */
const LONGEST_MS = 60_000;
const MOST = 10_000;

/** What could not be done while Redis was away or busy: tried again for a minute. */
export interface Again {
  /** @param task resolves to whether nothing is left to do */
  add(task: () => Promise<boolean>): void;
  close(): void;
}

export function openAgain(link: Link): Again {
  const left = new Map<() => Promise<boolean>, number>();
  let ticking: NodeJS.Timeout | undefined;
  let isBusy = false;

  async function tryAll(): Promise<void> {
    if (isBusy || link.problem() !== undefined) return;
    isBusy = true;
    for (const [task, untilMs] of left) {
      const isDone = await task().catch(() => false);
      if (isDone || performance.now() > untilMs) left.delete(task);
      if (link.problem() !== undefined) break;
    }
    isBusy = false;
    if (left.size === 0) stop();
  }

  function stop(): void {
    clearInterval(ticking);
    ticking = undefined;
  }

  link.onBack(() => void tryAll());
  return {
    add(task) {
      if (left.size < MOST) left.set(task, performance.now() + LONGEST_MS);
      ticking ??= setInterval(() => void tryAll(), PAUSE_MS).unref();
    },
    close() {
      left.clear();
      stop();
    },
  };
}
