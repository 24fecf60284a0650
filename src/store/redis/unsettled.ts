import type { Client } from './client.ts';
import type { Link } from './link.ts';

/** A Redis that is away for longer has let the leases of what it knew run out. */
const MOST = 10_000;
const LONGEST_MS = 60_000;

type Send = (client: Client) => Promise<unknown>;

/** What was to be written of claims while Redis was away: written when it is back, for as long as it can matter. */
export interface Unsettled {
  /** Rejects where it could not be written now. */
  run(send: Send): Promise<void>;
  close(): void;
}

export function openUnsettled(link: Link): Unsettled {
  let left: { send: Send; untilMs: number }[] = [];
  let isClosed = false;
  link.onBack(() => {
    const now = left.filter(({ untilMs }) => untilMs > performance.now());
    left = [];
    for (const { send } of now) run(send).catch(() => undefined);
  });

  async function run(send: Send): Promise<void> {
    try {
      await link.ask(send);
    } catch (error) {
      if (left.length < MOST && !isClosed) left.push({ send, untilMs: performance.now() + LONGEST_MS });
      throw error;
    }
  }

  return {
    run,
    close: () => {
      isClosed = true;
      left = [];
    },
  };
}
