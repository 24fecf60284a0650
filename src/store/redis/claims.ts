import type { ClaimAnswer, Claims, ClaimToken } from '../../store-types.ts';
import type { Settlement } from '../../types.ts';
import type { Again } from './again.ts';
import { CLAIM, KEEP, RELEASE } from './claim-scripts.ts';
import type { Link } from './link.ts';
import type { Owner } from './owner.ts';
import { runScript, type Script } from './scripts.ts';
import { openWaiting } from './waiting.ts';

/** How long the outcome of a failed delivery is left for copies that wait at another gateway. */
const OUTCOME_MS = 30_000;

interface InFlight {
  readonly token: string;
  /** Monotonic. */
  readonly untilMs: number;
  readonly settled: PromiseWithResolvers<Settlement>;
}

/** Claims of all gateways of one prefix together. */
export interface SharedClaims extends Claims {
  /** Whether a claim is still this token's, as far as its lease tells. */
  holds(key: string, token: ClaimToken): boolean;
  /** Whether the value of a claim's key names an owner that is gone. */
  isVoid(key: string, held: string): boolean;
  close(): void;
}

/** The key under which a claim stands. */
export function claimKey(prefix: string, key: string): string {
  return `${prefix}:claim:${key}`;
}

/** What a claim's key says of one that is in flight, by its token. */
export function flightValue(token: ClaimToken): string {
  return `flight:${token}`;
}

/** What it says of one that was delivered. */
export function keptValue({ status }: Settlement): string {
  return `kept:${status ?? 200}`;
}

export interface SharedClaimsOptions {
  readonly link: Link;
  readonly prefix: string;
  readonly owner: Owner;
  readonly again: Again;
}

export function sharedClaims({ link, prefix, owner, again }: SharedClaimsOptions): SharedClaims {
  const inFlight = new Map<string, InFlight>();
  const claiming = new Map<string, Promise<ClaimAnswer>>();
  const waiting = openWaiting(link, {
    keyOf: (key) => claimKey(prefix, key),
    outcomeKeyOf: (held) => outcomeKey(prefix, held),
    isVoid,
  });
  let lastToken = 0;

  function isVoid(key: string, held: string): boolean {
    if (!held.startsWith('flight:')) return false;
    const [, name = ''] = held.split(':');
    // What stands in our own name, and we know nothing of, is of a request that was refused for want of an answer.
    if (name === owner.name) return flightValue(inFlight.get(key)?.token ?? '') !== held;
    return owner.isGone(name);
  }

  async function take(key: string, leaseMs: number, voided = ''): Promise<ClaimAnswer> {
    lastToken += 1;
    const token = `${owner.name}:${lastToken}`;
    // From before it is asked for: the lease ends here no later than at Redis.
    const untilMs = performance.now() + leaseMs;
    const held = String(
      await link.ask((client) =>
        runScript(client, CLAIM, [claimKey(prefix, key)], [flightValue(token), leaseMs, voided]),
      ),
    );
    if (held === '') {
      // An overrun claim is taken over with its waiters: the new owner's outcome is theirs too.
      const settled = inFlight.get(key)?.settled ?? Promise.withResolvers<Settlement>();
      inFlight.set(key, { token, untilMs, settled });
      return { state: 'owned', token };
    }
    if (held.startsWith('kept:')) return { state: 'kept' };
    if (voided === '' && isVoid(key, held)) return take(key, leaseMs, held);
    return { state: 'in flight', settled: waiting.outcomeOf(key, held) };
  }

  /** Rejects where it could not be written now; it is tried again then. */
  async function write(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<void> {
    const run = () => link.ask((client) => runScript(client, script, keys, args));
    try {
      await run();
    } catch (error) {
      again.add(() => run().then(() => true));
      throw error;
    }
  }

  function finish(key: string, token: ClaimToken, settlement: Settlement): void {
    const claim = inFlight.get(key);
    if (claim?.token !== token) return;
    inFlight.delete(key);
    claim.settled.resolve(settlement);
  }

  return {
    claim(key, leaseMs) {
      const own = inFlight.get(key);
      if (own !== undefined && own.untilMs > performance.now())
        return { state: 'in flight', settled: own.settled.promise };
      // Two copies that arrive in one moment: the second must not ask before it is known what became of the first.
      const first = claiming.get(key);
      if (first !== undefined) return first.then((answer) => besides(answer, inFlight.get(key)));
      const answer = take(key, leaseMs).finally(() => claiming.delete(key));
      claiming.set(key, answer);
      return answer;
    },
    async keep(key, token, settlement, rememberMs) {
      const args = [flightValue(token), keptValue(settlement), rememberMs];
      try {
        await write(KEEP, [claimKey(prefix, key)], args);
      } finally {
        finish(key, token, settlement);
      }
    },
    release(key, token, settlement) {
      const held = flightValue(token);
      const keys = [claimKey(prefix, key), outcomeKey(prefix, held)];
      const args = [held, JSON.stringify(settlement), OUTCOME_MS];
      write(RELEASE, keys, args).catch(() => undefined);
      finish(key, token, settlement);
    },
    holds(key, token) {
      const own = inFlight.get(key);
      return own?.token === token && own.untilMs > performance.now();
    },
    isVoid,
    close: waiting.close,
  };
}

/** The answer for a copy, given that for the one that asked first. */
function besides(first: ClaimAnswer, own: InFlight | undefined): ClaimAnswer {
  if (first.state !== 'owned') return first;
  // Settled already: whoever comes second asks again.
  return {
    state: 'in flight',
    settled: own === undefined ? Promise.resolve(undefined) : own.settled.promise,
  };
}

function outcomeKey(prefix: string, held: string): string {
  return `${prefix}:outcome:${held.slice('flight:'.length)}`;
}
