import { randomUUID } from 'node:crypto';
import { type Claim, claimEvent } from './claim.ts';
import { examine, sift } from './examine.ts';
import { type Forwarding, openForwarding } from './forwarding.ts';
import type { ForwardingParts } from './late.ts';
import { answerCopy, refuse } from './outcome.ts';
import { type Entry, newEntry } from './record/entry.ts';
import { recordedAtItsEnd } from './record/stream.ts';
import { copyTimeLeft, LEFT, type Request, type Route, timeLeft } from './request.ts';
import { acknowledge, responderFor } from './respond.ts';
import type { Transformation } from './transformation.ts';
import type { Handler, Head, Message, Refusal, Reply, Sender } from './types.ts';

export interface Parts extends ForwardingParts {
  readonly match: (head: Head) => Route | Refusal;
  readonly record: (entry: Entry) => void;
  readonly refusedConnection: Handler['refuseConnection'];
  readonly failed: (entry: Entry, error: unknown) => void;
}

export interface Gateway extends Handler, Pick<Forwarding, 'exchanges' | 'giveUpAll'> {
  /** How many requests are under way. */
  inFlight(): number;
}

/** After the lease of an exchange that never ended, a copy may be delivered. */
const LEASE_SPARE_MS = 5000;
const ANYONE = responderFor(undefined, false);

/** The whole life of a request, in order. */
export function createGateway(parts: Parts): Gateway {
  const forwarding = openForwarding(parts);
  let inFlight = 0;

  async function handle(head: Head, sender: Sender): Promise<Reply | undefined> {
    inFlight += 1;
    const entry = newEntry(head);
    try {
      const reply = await answer(head, sender, entry);
      if (sender.isGone) entry.detail ??= LEFT;
      return finish(entry, reply, sender.isGone);
    } catch (error) {
      // A 500 would lose an alert for good: a fault of ours is one that may pass.
      sender.releaseBody();
      parts.failed(entry, error);
      return finish(entry, refuse(ANYONE, entry, { reason: 'gateway.error' }));
    } finally {
      inFlight -= 1;
    }
  }

  async function answer(head: Head, sender: Sender, entry: Entry): Promise<Reply | undefined> {
    const route = parts.match(head);
    if ('reason' in route) return refuse(ANYONE, entry, route);
    entry.route = route.name;
    entry.sender = route.sender;
    entry.client = route.client;
    if (!route.methods.has(head.method)) {
      const headers = ['allow', [...route.methods].join(', ')];
      return refuse(route.responder, entry, { reason: 'route.method_not_allowed', headers });
    }
    const unwelcome = await examine(route.checks.head, head, entry, sender);
    if (unwelcome !== undefined) return refuse(route.responder, entry, unwelcome);
    const startedMs = performance.now();
    const reading = sender.readBody(route.bodyLimit, head.startedMs + route.deadlineMs);
    const body = reading instanceof Promise ? await reading : reading;
    entry.bodyMs = performance.now() - startedMs;
    if (!Buffer.isBuffer(body)) return refuse(route.responder, entry, body);
    entry.bytes = body.length;
    const message: Message = { ...head, body };
    const unproved = await examine(route.checks.message, message, entry, sender);
    if (unproved !== undefined) {
      const leftMs = timeLeft(route, message);
      const refusal = (await route.quarantine?.(message, unproved, entry, leftMs)) ?? unproved;
      sender.releaseBody();
      return refusal === 'kept' ? acknowledge(202, message.id) : refuse(route.responder, entry, refusal);
    }
    entry.eventType = route.eventType(body);
    const client = route.clientOf(message);
    const request: Request = { route, message, client, sender, entry };
    if (entry.messageId === undefined) return take(request, undefined);
    const claiming = claimEvent(route.claims, {
      route: route.name,
      client,
      messageId: entry.messageId,
      leaseMs: route.timeoutMs + route.lateMs + LEASE_SPARE_MS,
      rememberMs: route.rememberMs,
      waitMs: copyTimeLeft(route, message),
    });
    const claimed = claiming instanceof Promise ? await claiming : claiming;
    if ('claim' in claimed) return take(request, claimed.claim);
    sender.releaseBody();
    return answerCopy(route.responder, message, entry, claimed);
  }

  /** An event that is this request's to deal with. Whatever goes wrong with it, its claim is free for the next copy. */
  async function take(request: Request, claim: Claim | undefined): Promise<Reply | undefined> {
    try {
      const { route } = request;
      const found = sift(request);
      if (found !== 'wanted') return await leaveOut(request, claim, found);
      if (route.queued !== undefined) return await accept(request, claim, route.queued);
      if (route.transform === undefined) return await forwarding.deliver(request, claim);
      return await transform(request, claim, route.transform);
    } catch (error) {
      // Does nothing where the claim has been settled.
      claim?.settle({ reason: 'gateway.error' });
      throw error;
    }
  }

  /** What its script cancels is acknowledged; what its script fails on is never delivered as it was. */
  async function transform(
    request: Request,
    claim: Claim | undefined,
    run: Transformation,
  ): Promise<Reply | undefined> {
    const { route, message, entry } = request;
    const { method, body, epochMs: receivedMs } = message;
    const made = await run({ method, path: route.upstreamTarget(message), body, receivedMs });
    if (made === 'cancelled') {
      entry.detail = 'cancelled by its transformation';
      return leaveOut(request, claim, 'unwanted');
    }
    return 'reason' in made ? leaveOut(request, claim, made) : forwarding.deliver(request, claim, made);
  }

  /** What nobody asked for is acknowledged, and is a duplicate when it comes again; what cannot be told is not. */
  async function leaveOut(
    { route, message, sender, entry }: Request,
    claim: Claim | undefined,
    found: 'unwanted' | Refusal,
  ): Promise<Reply | undefined> {
    sender.releaseBody();
    if (found !== 'unwanted') {
      claim?.settle(found);
      return refuse(route.responder, entry, found);
    }
    await claim?.settle({ status: 200 })?.catch((error) => parts.unkeptClaim(entry, error));
    entry.outcome = 'filtered';
    return acknowledge(200, message.id);
  }

  /** Says yes once the disk has it; the upstream is another's business then. */
  async function accept(
    { route, message, client, sender, entry }: Request,
    claim: Claim | undefined,
    make: NonNullable<Route['queued']>,
  ): Promise<Reply | undefined> {
    const event = make(message, client, entry);
    const refusal = await parts.accept({ event, claim: claim?.held, withinMs: timeLeft(route, message) });
    sender.releaseBody();
    if (refusal !== undefined) return refuse(route.responder, entry, refusal);
    entry.outcome = 'queued';
    return acknowledge(202, message.id);
  }

  function finish(entry: Entry, reply: Reply | undefined, isGone = false): Reply | undefined {
    entry.status = isGone ? undefined : reply?.status;
    if (reply === undefined || reply.body === undefined || Buffer.isBuffer(reply.body)) {
      parts.record(entry);
      return reply;
    }
    return { ...reply, body: recordedAtItsEnd(reply.body, entry, parts.record) };
  }

  return {
    handle,
    refuseUnread: (refusal, unread) => {
      const entry = newEntry({ id: randomUUID(), ...unread });
      return finish(entry, refuse(ANYONE, entry, refusal));
    },
    refuseConnection: parts.refusedConnection,
    inFlight: () => inFlight,
    exchanges: forwarding.exchanges,
    giveUpAll: forwarding.giveUpAll,
  };
}
