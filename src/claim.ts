import type { AcceptedClaim } from './events.ts';
import type { ClaimAnswer, Claims, ClaimToken } from './store-types.ts';
import type { Refusal, Settlement } from './types.ts';

/** The right to deliver one event, and the duty to say what became of it. */
export interface Claim {
  /** For a queue, which keeps the claim itself. */
  readonly held: AcceptedClaim;
  /** Resolves once a success is written down, rejects where it could not be; a failure frees the event at once. */
  settle(settlement: Settlement): Promise<void> | undefined;
}

export type Claimed =
  | { readonly claim: Claim }
  /** A copy of an event that was delivered before. */
  | { readonly duplicate: true }
  /** A copy of an event that was in flight, with what became of that one. */
  | { readonly copyOf: Settlement }
  | Refusal;

export interface ClaimOptions {
  readonly route: string;
  /** Whose event it is, where one sender speaks for several clients. */
  readonly client: string;
  readonly messageId: string;
  readonly leaseMs: number;
  readonly rememberMs: number;
  /** How long a copy of an event in flight may wait for its outcome. */
  readonly waitMs: number;
}

/**
 * Claims an event for delivery, or finds out that it is not this request's to deliver. Waits for a copy in flight, and
 * for a state that is not in this process.
 */
export function claimEvent(store: Claims, options: ClaimOptions): Claimed | Promise<Claimed> {
  const key = keyOf(options);
  const take = (answer: ClaimAnswer) => claimedBy(store, key, answer, options);
  try {
    const answer = store.claim(key, options.leaseMs);
    return answer instanceof Promise ? answer.then(take).catch(unavailable) : take(answer);
  } catch (error) {
    return unavailable(error);
  }
}

function claimedBy(
  store: Claims,
  key: string,
  answer: ClaimAnswer,
  options: ClaimOptions,
): Claimed | Promise<Claimed> {
  if (answer.state === 'kept') return { duplicate: true };
  if (answer.state === 'in flight') return outcomeWithin(store, answer.settled, options);
  const { token } = answer;
  const { rememberMs } = options;
  return {
    claim: {
      held: { key, token, rememberMs },
      settle: (settlement) => settle(store, key, token, settlement, rememberMs),
    },
  };
}

function unavailable(error: unknown): Refusal {
  return { reason: 'state.unavailable', detail: (error as Error).message };
}

/** Whether an upstream's answer means that the event was delivered: its status line decides. */
export function isSuccess({ status }: { status?: number }): boolean {
  return status !== undefined && status >= 200 && status < 300;
}

function settle(
  store: Claims,
  key: string,
  token: ClaimToken,
  settlement: Settlement,
  rememberMs: number,
): Promise<void> | undefined {
  if (settlement.reason === undefined && isSuccess(settlement)) {
    return store.keep(key, token, settlement, rememberMs);
  }
  store.release(key, token, settlement);
  return undefined;
}

async function outcomeWithin(
  store: Claims,
  settled: Promise<Settlement | undefined>,
  options: ClaimOptions,
): Promise<Claimed> {
  const startedMs = performance.now();
  const timeout = Promise.withResolvers<Refusal>();
  const timer = setTimeout(() => timeout.resolve({ reason: 'claim.in_flight' }), Math.max(options.waitMs, 0));
  const outcome = settled.then((copyOf) => copyOf && { copyOf });
  const result = await Promise.race([outcome, timeout.promise]);
  clearTimeout(timer);
  if (result !== undefined) return result;
  return claimEvent(store, { ...options, waitMs: options.waitMs - (performance.now() - startedMs) });
}

/** One sender fans an id out to several endpoints, and one client must not swallow another's event. */
function keyOf({ route, client, messageId }: ClaimOptions): string {
  return `${route}\n${client}\n${messageId}`;
}
