import type { ClaimAnswer, Claims, ClaimToken } from '../../store-types.ts';
import type { Settlement } from '../../types.ts';
import { KeyIndex } from '../key-index.ts';

interface InFlight {
  readonly token: number;
  readonly untilMs: number;
  readonly settled: PromiseWithResolvers<Settlement>;
}

/**
 * Claims that go by the shared state while that can be reached, and by this process's own memory while it cannot.
 * What was delivered meanwhile is known here also afterwards, and nowhere else.
 */
export interface LenientClaims {
  /** @param fellBack called for each answer that went by this process's own memory */
  lenient(shared: Claims, fellBack: () => void): Claims;
}

export function lenientClaims(): LenientClaims {
  const inFlight = new Map<string, InFlight>();
  const kept = new KeyIndex();
  let lastToken = 0;

  function find(key: string, nowMs: number): ClaimAnswer | undefined {
    const current = inFlight.get(key);
    if (current !== undefined && current.untilMs > nowMs)
      return { state: 'in flight', settled: current.settled.promise };
    return kept.untilOf(key) > nowMs ? { state: 'kept' } : undefined;
  }

  function claimHere(key: string, leaseMs: number): ClaimAnswer {
    const nowMs = Date.now();
    const found = find(key, nowMs);
    if (found !== undefined) return found;
    lastToken += 1;
    const settled = inFlight.get(key)?.settled ?? Promise.withResolvers<Settlement>();
    inFlight.set(key, { token: lastToken, untilMs: nowMs + leaseMs, settled });
    return { state: 'owned', token: lastToken };
  }

  function finish(key: string, token: ClaimToken, settlement: Settlement): void {
    const claim = inFlight.get(key);
    if (claim?.token !== token) return;
    inFlight.delete(key);
    claim.settled.resolve(settlement);
  }

  function keepHere(key: string, rememberMs: number): void {
    const nowMs = Date.now();
    kept.set(key, nowMs + rememberMs, nowMs);
  }

  return {
    lenient: (shared, fellBack) => ({
      claim(key, leaseMs) {
        const here = () => {
          fellBack();
          return claimHere(key, leaseMs);
        };
        try {
          const answer = find(key, Date.now()) ?? shared.claim(key, leaseMs);
          return answer instanceof Promise ? answer.catch(here) : answer;
        } catch {
          return here();
        }
      },
      async keep(key, token, settlement, rememberMs) {
        // Tokens of the shared state are texts.
        if (typeof token === 'number') {
          keepHere(key, rememberMs);
          finish(key, token, settlement);
          return;
        }
        await shared.keep(key, token, settlement, rememberMs).catch(() => {
          fellBack();
          keepHere(key, rememberMs);
        });
      },
      release(key, token, settlement) {
        if (typeof token === 'number') finish(key, token, settlement);
        else shared.release(key, token, settlement);
      },
    }),
  };
}
