import type { Settlement } from '../../types.ts';
import type { Link } from './link.ts';

const POLL_MS = 100;

export interface WaitingOptions {
  readonly keyOf: (key: string) => string;
  readonly outcomeKeyOf: (held: string) => string;
  readonly isVoid: (key: string, held: string) => boolean;
}

/** Copies that wait for what becomes of an event at another gateway. */
export interface Waiting {
  /** @param held what the claim's key said. @returns `undefined` where nobody settled it, and nobody will */
  outcomeOf(key: string, held: string): Promise<Settlement | undefined>;
  close(): void;
}

interface Watched {
  held: string;
  readonly settled: PromiseWithResolvers<Settlement | undefined>;
}

/** Asks ten times a second, whatever Redis may do meanwhile: a message that is sent once can be missed. */
export function openWaiting(link: Link, options: WaitingOptions): Waiting {
  const watched = new Map<string, Watched>();
  let polling: NodeJS.Timeout | undefined;

  async function look(key: string, one: Watched): Promise<void> {
    const keys = [options.keyOf(key), options.outcomeKeyOf(one.held)];
    const [held, outcome] = await link.ask((client) => client.mget(...keys));
    if (held === one.held && !options.isVoid(key, held)) return;
    // A failed delivery is told even where the next copy is in flight already.
    if (outcome) settle(key, one, JSON.parse(outcome) as Settlement);
    else if (held?.startsWith('kept:')) settle(key, one, { status: Number(held.slice('kept:'.length)) });
    else if (held && held !== one.held && !options.isVoid(key, held)) one.held = held;
    else settle(key, one, undefined);
  }

  function settle(key: string, { settled }: Watched, settlement: Settlement | undefined): void {
    watched.delete(key);
    settled.resolve(settlement);
    if (watched.size === 0) stop();
  }

  function stop(): void {
    clearInterval(polling);
    polling = undefined;
  }

  function poll(): void {
    for (const [key, one] of watched) look(key, one).catch(() => undefined);
  }

  return {
    outcomeOf(key, held) {
      const known = watched.get(key);
      if (known !== undefined) return known.settled.promise;
      const one = { held, settled: Promise.withResolvers<Settlement | undefined>() };
      watched.set(key, one);
      polling ??= setInterval(poll, POLL_MS).unref();
      return one.settled.promise;
    },
    close: stop,
  };
}
