import { randomUUID } from 'node:crypto';
import type { Acceptance, eventMaker } from './accept.ts';
import type { Attested, attester } from './attest.ts';
import type { Checks } from './check/index.ts';
import { type Claim, claimEvent } from './claim.ts';
import type { Exchange, Outgoing } from './deliver/exchange.ts';
import { forward } from './deliver/forward.ts';
import type { Upstream } from './deliver/upstream.ts';
import type { messageFilter } from './filter.ts';
import { answerCopy, pass, refuse } from './outcome.ts';
import { type Entry, newEntry } from './record/entry.ts';
import { recordedAtItsEnd } from './record/stream.ts';
import { acknowledge, type Responder, responderFor } from './respond.ts';
import { Slots } from './slots.ts';
import type { Transformation, Transformed } from './transformation.ts';
import type { Claims, Handler, Head, Message, Refusal, Reply, Sender, Settlement } from './types.ts';

/** One route, compiled: everything that can be decided before a request is decided here. */
export interface Route {
  readonly name: string;
  readonly sender: string | undefined;
  readonly methods: ReadonlySet<string>;
  readonly checks: Checks;
  readonly bodyLimit: number;
  readonly eventType: (body: Buffer) => string | undefined;
  /** Whose event it is, where one sender speaks for several clients. */
  readonly clientOf: (head: Head) => string;
  readonly upstream: Upstream;
  readonly upstreamTarget: (head: Pick<Head, 'path' | 'query'>) => string;
  readonly upstreamFields: (head: Head) => string[];
  /** The field by which the gateway vouches for a message; `undefined`: the upstream does not ask for it. */
  readonly attest: ReturnType<typeof attester> | undefined;
  /** Which messages are delivered; `undefined`: all are. */
  readonly filter: ReturnType<typeof messageFilter> | undefined;
  /** What is made of a message before it is delivered; `undefined`: nothing. */
  readonly transform: Transformation | undefined;
  /** What of a request is kept until it is delivered; `undefined`: the sender waits for the upstream's answer. */
  readonly queued: ReturnType<typeof eventMaker> | undefined;
  /** From the head's first byte to the answer; infinite without a sender. */
  readonly deadlineMs: number;
  readonly timeoutMs: number;
  readonly claims: Claims;
  readonly rememberMs: number;
  readonly responder: Responder;
}

export interface Parts {
  readonly match: (head: Head) => Route | Refusal;
  /** Stores an event and has it delivered; gives what its sender is told where it is not stored in time. Never rejects. */
  readonly accept: (acceptance: Acceptance) => Promise<Refusal | undefined>;
  readonly record: (entry: Entry) => void;
  readonly refusedConnection: Handler['refuseConnection'];
  readonly failed: (entry: Entry, error: unknown) => void;
  /** What became of an exchange after its sender had been answered without it. */
  readonly late: (entry: Entry, settlement: Settlement) => void;
  readonly unkeptClaim: (entry: Entry, error: unknown) => void;
}

export interface Gateway extends Handler {
  /** How many requests are under way. */
  inFlight(): number;
  /** How many exchanges with upstreams are, those included whose sender has been answered. */
  exchanges(): number;
  /** Answers those that still wait for an upstream: the process is about to end. */
  giveUpAll(): void;
}

/** After the lease of an exchange that never ended, a copy may be delivered. */
const LEASE_SPARE_MS = 5000;
const ANYONE = responderFor(undefined, false);
const DRAINING: Refusal = Object.freeze({ reason: 'gateway.draining' });

/** The whole life of a request, in order. */
export function createGateway(parts: Parts): Gateway {
  const exchanges = new Slots<Exchange>();
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
    if (!route.methods.has(head.method)) {
      const headers = ['allow', [...route.methods].join(', ')];
      return refuse(route.responder, entry, { reason: 'route.method_not_allowed', headers });
    }
    for (const check of route.checks.head) {
      const answer = check.examine(head);
      const verdict = answer instanceof Promise ? await answer : answer;
      if (verdict.reason !== undefined) return refuse(route.responder, entry, verdict);
    }
    const startedMs = performance.now();
    const reading = sender.readBody(route.bodyLimit, head.startedMs + route.deadlineMs);
    const body = reading instanceof Promise ? await reading : reading;
    entry.bodyMs = performance.now() - startedMs;
    if (!Buffer.isBuffer(body)) return refuse(route.responder, entry, body);
    entry.bytes = body.length;
    const message: Message = { ...head, body };
    for (const check of route.checks.message) {
      const answer = check.examine(message);
      const verdict = answer instanceof Promise ? await answer : answer;
      if (verdict.reason !== undefined) {
        sender.releaseBody();
        return refuse(route.responder, entry, verdict);
      }
      entry.secret = verdict.secret ?? entry.secret;
      entry.messageId = verdict.messageId ?? entry.messageId;
    }
    entry.eventType = route.eventType(body);
    const client = route.clientOf(message);
    const request: Request = { route, message, client, sender, entry };
    if (entry.messageId === undefined) return take(request, undefined);
    const claiming = claimEvent(route.claims, {
      route: route.name,
      client,
      messageId: entry.messageId,
      leaseMs: route.timeoutMs + route.upstream.settings.lateMs + LEASE_SPARE_MS,
      rememberMs: route.rememberMs,
      waitMs: timeLeft(route, message),
    });
    const claimed = claiming instanceof Promise ? await claiming : claiming;
    if ('claim' in claimed) return take(request, claimed.claim);
    sender.releaseBody();
    return answerCopy(route.responder, message, entry, claimed);
  }

  /** An event that is this request's to deal with. */
  function take(request: Request, claim: Claim | undefined): Promise<Reply | undefined> {
    const { route, message } = request;
    const found = route.filter?.(message.body) ?? 'wanted';
    if (found !== 'wanted') return leaveOut(request, claim, found);
    if (route.queued !== undefined) return accept(request, claim);
    return route.transform === undefined
      ? deliver(request, claim)
      : transform(request, claim, route.transform);
  }

  /** What its script cancels is acknowledged; what its script fails on is never delivered as it was. */
  async function transform(
    request: Request,
    claim: Claim | undefined,
    run: Transformation,
  ): Promise<Reply | undefined> {
    const { route, message } = request;
    const { method, body, epochMs: receivedMs } = message;
    const made = await run({ method, path: route.upstreamTarget(message), body, receivedMs }).catch(
      freeing(claim),
    );
    if (made === 'cancelled') {
      request.entry.detail = 'cancelled by its transformation';
      return leaveOut(request, claim, 'unwanted');
    }
    return 'reason' in made ? leaveOut(request, claim, made) : deliver(request, claim, made);
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
  ): Promise<Reply | undefined> {
    const event = (route.queued as NonNullable<Route['queued']>)(message, client, entry);
    const refusal = await parts.accept({ event, claim: claim?.held, withinMs: timeLeft(route, message) });
    sender.releaseBody();
    if (refusal !== undefined) return refuse(route.responder, entry, refusal);
    entry.outcome = 'queued';
    return acknowledge(202, message.id);
  }

  async function deliver(
    { route, message, sender, entry }: Request,
    claim: Claim | undefined,
    made?: Transformed,
  ): Promise<Reply | undefined> {
    const { upstream, method, body } = made ?? { ...message, upstream: route.upstream };
    const path = made?.path ?? route.upstreamTarget(message);
    const headers = made?.renew(made.fields.whole(message)) ?? route.upstreamFields(message);
    if (route.attest !== undefined) {
      headers.push(
        ...(await route.attest(attestedOf({ ...message, method, body }, entry), path).catch(freeing(claim))),
      );
    }
    // Signing, and asking a shared state, let others take their turn: meanwhile the sender may have left.
    if (sender.isGone && claim === undefined) {
      sender.releaseBody();
      return refuse(route.responder, entry, GONE);
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
      lateMs: claim === undefined ? 0 : route.upstream.settings.lateMs,
      wantsBody: route.responder.passesBody,
      settled: (settlement) => {
        settled = true;
        if (place !== undefined) exchanges.remove(place);
        sender.releaseBody();
        kept = claim?.settle(settlement)?.catch((error) => parts.unkeptClaim(entry, error));
        if (answered) parts.late(entry, settlement);
      },
    };
    const exchange = begin(upstream, outgoing, claim);
    if (!settled) place = exchanges.add(exchange);
    // A claimed event is delivered to its end; any other delivery ends with the sender that asked for it.
    if (claim === undefined) sender.onGone = () => exchange.giveUp(GONE);
    const outcome = await exchange.answer;
    answered = true;
    entry.upstream = exchange.target;
    entry.upstreamMs = performance.now() - startedMs;
    // The sender hears of a success only when a copy of the event would be known for one.
    await kept;
    if ('reason' in outcome) return refuse(route.responder, entry, outcome);
    entry.upstreamStatus = outcome.status;
    return pass(route.responder, message, entry, outcome);
  }

  function begin(upstream: Upstream, outgoing: Outgoing, claim: Claim | undefined): Exchange {
    try {
      return forward(upstream, outgoing);
    } catch (error) {
      return freeing(claim)(error);
    }
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
    exchanges: () => exchanges.size,
    giveUpAll: () => {
      for (const exchange of exchanges) exchange.giveUp(DRAINING);
    },
  };
}

/** A request that has passed its checks. */
interface Request {
  readonly route: Route;
  readonly message: Message;
  readonly client: string;
  readonly sender: Sender;
  readonly entry: Entry;
}

const LEFT = 'the sender left before the answer';
const GONE: Refusal = Object.freeze({ reason: 'body.incomplete', detail: LEFT });

/** An event that could not even be sent is free for its next copy. */
function freeing(claim: Claim | undefined): (error: unknown) => never {
  return (error) => {
    claim?.settle({ reason: 'gateway.error' });
    throw error;
  };
}

function attestedOf({ id, method, body, peer }: Message, { messageId }: Entry): Attested {
  return { id, method, body, fingerprint: peer.certificate?.fingerprint, messageId };
}

function timeLeft(route: Route, head: Head): number {
  return Math.min(route.timeoutMs, head.startedMs + route.deadlineMs - performance.now());
}
