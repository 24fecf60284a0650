import type { Claim } from './claim.ts';
import type { Exchange, Outgoing } from './deliver/exchange.ts';
import { forward } from './deliver/forward.ts';
import { fieldValue } from './fields.ts';
import { deliverOrQueue, type ForwardingParts } from './late.ts';
import { answerOf, refuse } from './outcome.ts';
import { GONE, type Request, timeLeft } from './request.ts';
import { Slots } from './slots.ts';
import type { Transformed } from './transformation.ts';
import type { Refusal, Reply } from './types.ts';

/** Requests whose senders wait for the upstream. */
export interface Forwarding {
  /** Sends a request, or what a script has made of it, and gives the sender's answer; its claim is settled by what comes of it. */
  deliver(request: Request, claim: Claim | undefined, made?: Transformed): Promise<Reply | undefined>;
  /** How many exchanges with upstreams are under way, those included whose sender has been answered. */
  exchanges(): number;
  /** Answers those that still wait for an upstream: the process is about to end. */
  giveUpAll(): void;
}

const DRAINING: Refusal = Object.freeze({ reason: 'gateway.draining' });

export function openForwarding(parts: ForwardingParts): Forwarding {
  const exchanges = new Slots<Exchange>();

  async function deliver(
    request: Request,
    claim: Claim | undefined,
    made?: Transformed,
  ): Promise<Reply | undefined> {
    const { route, message, sender, entry } = request;
    const { method, body } = made ?? message;
    const upstream = made?.upstream ?? route.upstream;
    const path = made?.path ?? route.upstreamTarget(message);
    const headers = made?.renew(made.fields.whole(message)) ?? route.upstreamFields(message);
    if (route.attest !== undefined) {
      const { id, peer } = message;
      const fingerprint = peer.certificate?.fingerprint;
      const client = fieldValue(headers, 'x-postern-client');
      const attested = { id, method, body, fingerprint, messageId: entry.messageId, client };
      headers.push(...(await route.attest(attested, path)));
    }
    // Signing, and asking a shared state, let others take their turn: meanwhile the sender may have left.
    if (sender.isGone && claim === undefined) {
      sender.releaseBody();
      return refuse(route.responder, entry, GONE);
    }
    if (route.late !== undefined) {
      const sent = { upstream, method, path, headers, body };
      return deliverOrQueue(request, route.late, { claim, sent, exchanges }, parts);
    }
    const startedMs = performance.now();
    let kept: Promise<void> | undefined;
    let answered = false;
    let settled = false;
    let place: number | undefined;
    const outgoing: Outgoing = {
      method,
      path,
      headers,
      body,
      timeoutMs: timeLeft(route, message),
      lateMs: claim === undefined ? 0 : upstream.settings.lateMs,
      wantsBody: route.responder.passesBody,
      settled: (settlement) => {
        settled = true;
        if (place !== undefined) exchanges.remove(place);
        sender.releaseBody();
        kept = claim?.settle(settlement)?.catch((error) => parts.unkeptClaim(entry, error));
        if (answered) parts.late(entry, settlement);
      },
    };
    const exchange = forward(upstream, outgoing);
    if (!settled) place = exchanges.add(exchange);
    // A claimed event is delivered to its end; any other delivery ends with the sender that asked for it.
    if (claim === undefined) sender.onGone = () => exchange.giveUp(GONE);
    const outcome = await exchange.answer;
    answered = true;
    entry.upstream = exchange.target;
    entry.upstreamMs = performance.now() - startedMs;
    // The sender hears of a success only when a copy of the event would be known for one.
    await kept;
    return answerOf(route.responder, message, entry, outcome);
  }

  return {
    deliver,
    exchanges: () => exchanges.size,
    giveUpAll: () => {
      for (const exchange of exchanges) exchange.giveUp(DRAINING);
    },
  };
}
