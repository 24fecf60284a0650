import type { Fields } from './fields.ts';
import type { Evidence, Forced, QuarantineBounds, Quarantining, Release, Releasing } from './quarantined.ts';
import type { Reason } from './reasons.ts';

/** What of an accepted request is kept until it has been delivered. */
export interface QueuedEvent {
  /** The request's id: a UUID. */
  readonly id: string;
  /** The lane: the route, or `route/client` where its clients are told apart. */
  readonly route: string;
  /** Whose event it is, where one sender speaks for several clients; else empty. */
  readonly client: string;
  /** The signed id; `undefined` on a route without a signature. Of one in quarantine the id that it claims. */
  readonly messageId: string | undefined;
  readonly eventType: string | undefined;
  /** Milliseconds since the epoch. */
  readonly receivedMs: number;
  /** Events of one route and key are delivered one after the other in order of arrival; `undefined`: in any order. */
  readonly orderKey: string | undefined;
  readonly method: string;
  readonly path: string;
  /** From the first `?` on; empty where there is none. */
  readonly query: string;
  /** Flat; what the upstream gets of the request, without what the configuration adds at the time of delivery. */
  readonly headers: Fields;
  readonly body: Buffer;
  /** 64 lower-case hexadecimal digits. */
  readonly bodySha256: string;
  /** The sender's address. */
  readonly address: string;
  /** The client certificate; `undefined`: there was none. */
  readonly certificate: { readonly subject: string; readonly fingerprint: string } | undefined;
  /** The place (from 0) of the secret that matched. */
  readonly secret: number | undefined;
  /** Of one that was, or is, in quarantine. */
  readonly evidence?: Evidence | undefined;
  /** Its signature did not hold: an operator vouches for it. */
  readonly forced?: Forced | undefined;
}

/**
 * Where an event is. `waiting` for its turn or its next attempt, `delivering`: leased to a worker, `delivered`, a `dead`
 * letter: its deliveries are used up, or the upstream will never take it; or `quarantined`: its signature does not hold.
 */
export type EventState = 'waiting' | 'delivering' | 'delivered' | 'dead' | 'quarantined';

/** The right to deliver one event for a while. Who holds a lease that was overrun can no longer settle it. */
export interface Lease {
  readonly event: QueuedEvent;
  /** From 1: how often a delivery of this event has begun, this one included. */
  readonly attempt: number;
  /** The same since the event was accepted, or an operator put it back: what the schedule goes by. */
  readonly step: number;
  readonly token: string | number;
}

/** One delivery, as it is remembered. */
export interface Attempt {
  readonly number: number;
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  readonly durationMs: number;
  /** The upstream's target; `undefined`: no connection was had. */
  readonly target: string | undefined;
  /** What the upstream answered; `undefined`: it did not, for the `reason` that then stands there. */
  readonly status: number | undefined;
  readonly reason: Reason | undefined;
  readonly detail: string | undefined;
  /** The first 1 KiB of the answer. */
  readonly answer: Buffer;
}

/** What becomes of a leased event. */
export type Disposal =
  | { readonly state: 'delivered' | 'dead' }
  /** Milliseconds since the epoch. */
  | { readonly state: 'waiting'; readonly dueMs: number };

export interface LeaseRequest {
  /** How many events at most; at least 1. */
  readonly count: number;
  readonly leaseMs: number;
  /** Events per time that may begin, counted over every process that shares the state; `undefined`: any number. */
  readonly pace: { readonly count: number; readonly perMs: number } | undefined;
}

export interface LeaseAnswer {
  readonly leases: readonly Lease[];
  /** After how many milliseconds more may be due; `undefined`: not before `watch` tells. */
  readonly againMs: number | undefined;
}

/** The claim under which an event is accepted; it is kept in the same step. */
export interface AcceptedClaim {
  readonly key: string;
  readonly token: string | number;
  readonly rememberMs: number;
}

/** How many events of a route are where, and since when the longest has waited (milliseconds since the epoch). */
export interface QueueCount {
  /** The lane. */
  readonly route: string;
  readonly waiting: number;
  readonly delivering: number;
  readonly dead: number;
  readonly quarantined: number;
  readonly oldestMs: number | undefined;
}

/** Accepted events, for the gateway: those that are not delivered yet, and for a while those that are. */
export interface Queue {
  /**
   * Resolves once the event would survive a power failure, its claim kept with it; rejects where it is not stored:
   * then it will not be delivered either.
   */
  accept(event: QueuedEvent, claim: AcceptedClaim | undefined): Promise<void>;
  /**
   * The same for an event whose first delivery is under way: it is leased from the start, so that nobody else begins
   * one. It must be in no order. Where it rejects, the claim is left as it was.
   */
  acceptLeased(event: QueuedEvent, claim: AcceptedClaim | undefined, leaseMs: number): Promise<Lease>;
  /**
   * Keeps an event that is not delivered before it is released. Resolves once it would survive a power failure, or with
   * why it is not kept; rejects where it cannot be stored.
   */
  quarantine(event: QueuedEvent, bounds: QuarantineBounds): Promise<Quarantining>;
  /**
   * Has an event of the quarantine delivered, due at once, its claim kept in the same step. Resolves once that is
   * written; rejects where it cannot be, or the claim was overrun.
   */
  release(release: Release, claim: AcceptedClaim | undefined): Promise<Releasing>;
  /** Takes events that are due, the longest due first. Rejects where the state is out of reach. */
  lease(route: string, request: LeaseRequest): Promise<LeaseAnswer>;
  /** Writes down an attempt and what becomes of the event. Resolves to false where the lease was overrun: nothing is changed then. */
  settle(lease: Lease, attempt: Attempt, disposal: Disposal): Promise<boolean>;
  /** Nothing of the event was sent: it is due again at that time (since the epoch), and no attempt was made. */
  giveBack(lease: Lease, dueMs: number): Promise<void>;
  /** Calls back whenever events of a route may have become due through anybody but `accept`'s own caller. */
  watch(wake: (route: string) => void): void;
  counts(): Promise<readonly QueueCount[]>;
}

/** How long events are kept once they are done with. Sizes in bytes, times in milliseconds. */
export interface Retention {
  readonly deliveredMs: number;
  /** `undefined`: a dead letter stays until an operator acts. */
  readonly deadMs: number | undefined;
  /** The most that delivered events may take up in all; the oldest go first. `undefined`: as much as the disk has. */
  readonly sizeBytes: number | undefined;
}

/** What is asked of the operator's side; each that is given narrows it. */
export interface EventFilter {
  /** A route with all its clients, or `route/client`. */
  readonly route?: string | undefined;
  readonly states?: readonly EventState[] | undefined;
  /** Exact, or a prefix that ends in `*`. */
  readonly eventType?: string | undefined;
  /** The event's id or its message id. */
  readonly id?: string | undefined;
  /** Received at this time or later, and before that one; milliseconds since the epoch. */
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
  /** Finished (delivered or dead) at this time or later; milliseconds since the epoch. */
  readonly finishedFromMs?: number | undefined;
}

/** An event in a list. */
export interface EventSummary {
  readonly id: string;
  /** Where the state keeps it; of use for `read` only. */
  readonly place: string;
  readonly route: string;
  readonly client: string;
  readonly messageId: string | undefined;
  readonly eventType: string | undefined;
  readonly state: EventState;
  readonly receivedMs: number;
  readonly bytes: number;
  readonly attempts: number;
  /** When the next attempt is due; `undefined`: none is. */
  readonly dueMs: number | undefined;
  /** When it is removed from the quarantine; `undefined`: it is not there. */
  readonly expiresMs: number | undefined;
  readonly forced: Forced | undefined;
  readonly finishedMs: number | undefined;
  /** Of the last attempt. */
  readonly status: number | undefined;
  readonly reason: Reason | undefined;
  /** Empty where `unreadable` says why. */
  readonly bodySha256: string;
  readonly address: string;
  readonly certificate: QueuedEvent['certificate'];
  readonly secret: number | undefined;
  /** Why what is encrypted of the event is empty here: its key is not configured, or it was altered. */
  readonly unreadable?: string;
}

/** An event with all that is kept of it. */
export interface EventDetail extends EventSummary {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Fields;
  readonly body: Buffer;
  readonly evidence?: Evidence | undefined;
  readonly log: readonly Attempt[];
}

export interface EventPage {
  readonly events: readonly EventSummary[];
  /** Where the next page begins; `undefined`: this was the last. */
  readonly next: string | undefined;
}

/**
 * How a list is sorted. `received`: the newest first. `finished`: only what is finished (delivered or dead), the first
 * to finish first; what finishes while the pages are read comes at the end.
 */
export type EventOrder = 'received' | 'finished';

/** Accepted events, for the operator: works beside a gateway that runs, and without one. */
export interface Events {
  /**
   * @param after what an earlier page gave as `next`, in the same order
   * @param order default: `received`
   */
  list(filter: EventFilter, limit: number, after?: string, order?: EventOrder): Promise<EventPage>;
  /** All of one event of a list, found at once and not by a search; `undefined`: it is gone since. */
  read(place: string): Promise<EventDetail | undefined>;
  /** All events with this id or message id, by a search; several routes may have had one message. */
  find(id: string, route?: string): Promise<readonly EventDetail[]>;
  /** Puts dead letters back, due at once with a fresh schedule; waiting ones become due at once. @returns how many */
  retry(filter: EventFilter): Promise<number>;
  /** Removes events that wait, are dead or in quarantine; what is being delivered stays. @returns how many */
  discard(filter: EventFilter): Promise<number>;
  /** Drops the claims of a message on a route, or of one of its clients (`route/client`), so that a deliberate resend is delivered. @returns how many there were */
  forget(route: string, messageId: string): Promise<number>;
  close(): Promise<void>;
}
