import { type Acceptance, storedWithin } from './accept.ts';
import type { Claim } from './claim.ts';
import { LEASE_SPARE_MS } from './deliver/conclude.ts';
import type { Exchange, Outgoing } from './deliver/exchange.ts';
import { forward } from './deliver/forward.ts';
import type { Running } from './deliver/handed-over.ts';
import type { Upstream } from './deliver/upstream.ts';
import { answerOf } from './outcome.ts';
import type { Entry } from './record/entry.ts';
import type { LateQueue, Request } from './request.ts';
import { acknowledge } from './respond.ts';
import type { Slots } from './slots.ts';
import type { Refusal, Reply, Settlement, UpstreamAnswer } from './types.ts';

/** What forwarding needs beyond itself. */
export interface ForwardingParts {
  /** Stores an event and has it delivered; gives what its sender is told where it is not stored in time. Never rejects. */
  readonly accept: (acceptance: Acceptance) => Promise<Refusal | undefined>;
  /** Stores an event whose exchange is its first delivery from then on. Rejects where it is not stored: its claim is as it was. */
  readonly handOver: (
    stored: Omit<Acceptance, 'withinMs'>,
    leaseMs: number,
    running: Running,
  ) => Promise<void>;
  /** What became of an exchange after its sender had been answered without it. */
  readonly late: (entry: Entry, settlement: Settlement) => void;
  readonly unkeptClaim: (entry: Entry, error: unknown) => void;
}

/** What is sent, and to which upstream. */
export type Sent = Pick<Outgoing, 'method' | 'path' | 'headers' | 'body'> & { readonly upstream: Upstream };

interface Around {
  readonly claim: Claim | undefined;
  readonly sent: Sent;
  /** Those under way. */
  readonly exchanges: Slots<Exchange>;
}

const LATE = 'the upstream was late';
const UNSENT = 'no connection to the upstream was free in time';
const TIMEOUT: Refusal = Object.freeze({ reason: 'upstream.timeout' });

/**
 * Forwards a request, and stores its event where the upstream is late: the exchange runs on and is the event's first
 * delivery, whether or not the sender is still there. It is over before its lease is, so at no time are two of one event
 * under way. Where the event cannot be stored, its sender gets what it would get on any other route.
 */
export async function deliverOrQueue(
  request: Request,
  late: LateQueue,
  { claim, sent, exchanges }: Around,
  parts: ForwardingParts,
): Promise<Reply | undefined> {
  const { route, message, client, sender, entry } = request;
  const { upstream } = sent;
  const { lateMs } = upstream.settings;
  const startedMs = Date.now();
  const startedAt = performance.now();
  const waitMs = Math.max(Math.min(route.timeoutMs, message.startedMs + late.afterMs - startedAt), 0);
  let settlement = undefined as Settlement | undefined;
  let kept: Promise<void> | undefined;
  let place: number | undefined;
  let isLate = false;
  /** While an event is being stored nobody else settles its claim: that is kept in the same step. */
  let claimIs: 'ours' | 'being kept' | 'of the queue' = 'ours';

  // Before the exchange's own clock: at an upstream without `late` both strike at once, and this one must be first.
  const lateness = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => lateness.resolve(undefined), waitMs);
  const exchange = forward(upstream, {
    ...sent,
    timeoutMs: waitMs + lateMs,
    // One that is given up has ended: it must not run on beside the next delivery.
    lateMs: 0,
    wantsBody: (status) => isLate || route.responder.passesBody(status),
    settled: (given) => {
      settlement = given;
      leave();
      if (claimIs !== 'being kept') end(given);
    },
  });
  if (settlement === undefined) place = exchanges.add(exchange);
  const outcome = await Promise.race([exchange.answer, lateness.promise]);
  clearTimeout(timer);
  entry.upstream = exchange.target;
  entry.upstreamMs = performance.now() - startedAt;
  if (outcome !== undefined) return answer(outcome);
  // It has answered, and only the rest of its answer is late.
  if (settlement !== undefined) {
    exchange.giveUp(TIMEOUT);
    return answer(withoutBody(settlement));
  }
  isLate = true;
  claimIs = 'being kept';
  const detail = exchange.isSent ? LATE : UNSENT;
  const refusal = exchange.isSent ? await handOver() : await acceptUnsent();
  if (refusal === undefined) {
    entry.outcome = 'queued';
    entry.detail = detail;
    return acknowledge(202, message.id);
  }
  // It may have answered while its event could not be stored.
  const meanwhile = settlement as Settlement | undefined;
  if (meanwhile?.status !== undefined) return answer(withoutBody(meanwhile));
  return answer({ ...TIMEOUT, detail: `${detail}, and the event is not stored: ${refusal.detail}` });

  function leave(): void {
    if (place !== undefined) exchanges.remove(place);
    place = undefined;
  }

  function end(settled: Settlement): void {
    sender.releaseBody();
    if (claimIs === 'of the queue') return;
    kept = claim?.settle(settled)?.catch((error) => parts.unkeptClaim(entry, error));
    if (isLate) parts.late(entry, settled);
  }

  /** What was put off while the event was being stored. */
  function storingEnded(owner: 'ours' | 'of the queue'): void {
    claimIs = owner;
    if (settlement !== undefined) end(settlement);
  }

  function handOver(): Promise<Refusal | undefined> {
    const storing = store().then(
      () => storingEnded('of the queue'),
      (error) => {
        storingEnded('ours');
        void drop(exchange);
        throw error;
      },
    );
    return storedWithin(timeLeft(), storing);
  }

  async function store(): Promise<void> {
    const running = { exchange, startedMs, startedAt, rules: late.rules };
    const event = late.event(message, client, entry);
    await parts.handOver({ event, claim: claim?.held }, lateMs + LEASE_SPARE_MS, running);
    // Among the deliveries it is waited for, and given up, from now on.
    leave();
  }

  /** What waits for a connection is in nobody's hands once it is given up: it waits in the queue, and no attempt was made. */
  async function acceptUnsent(): Promise<Refusal | undefined> {
    exchange.giveUp(TIMEOUT);
    const event = late.event(message, client, entry);
    const refusal = await parts.accept({ event, claim: claim?.held, withinMs: timeLeft() });
    // Where that failed it may still come about: then a copy that is let in now would be delivered beside it.
    storingEnded('of the queue');
    return refusal;
  }

  function timeLeft(): number {
    return message.startedMs + route.deadlineMs - performance.now();
  }

  async function answer(given: UpstreamAnswer | Refusal): Promise<Reply | undefined> {
    // The sender hears of a success only when a copy of the event would be known for one.
    await kept;
    return answerOf(route.responder, message, entry, given);
  }
}

/** As a copy of it would be answered. */
function withoutBody(settlement: Settlement): UpstreamAnswer | Refusal {
  if (settlement.reason !== undefined) return settlement;
  return { status: settlement.status, headers: [], body: undefined };
}

/** Nobody reads a large answer: it must not hold its connection. */
async function drop(exchange: Exchange): Promise<void> {
  const answer = await exchange.answer;
  if ('status' in answer && answer.body !== undefined && !Buffer.isBuffer(answer.body)) answer.body.cancel();
}
