import { type eventMaker, LONGEST_WAIT_MS } from './accept.ts';
import type { attester } from './attest.ts';
import type { Checks } from './check/index.ts';
import type { Upstream } from './deliver/upstream.ts';
import type { messageFilter } from './filter.ts';
import type { Quarantine } from './quarantine.ts';
import type { Entry } from './record/entry.ts';
import type { Responder } from './respond.ts';
import type { QueueSettings } from './settings.ts';
import type { Claims } from './store-types.ts';
import type { Transformation } from './transformation.ts';
import type { Head, Message, Refusal, Sender } from './types.ts';

/** One route, compiled: everything that can be decided before a request is decided here. */
export interface Route {
  readonly name: string;
  readonly sender: string | undefined;
  /** The known client that it is for; `undefined`: everybody else. */
  readonly client: string | undefined;
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
  /** Where a message goes whose signature does not hold; `undefined`: it is refused. */
  readonly quarantine: Quarantine | undefined;
  /** Which messages are delivered; `undefined`: all are. */
  readonly filter: ReturnType<typeof messageFilter> | undefined;
  /** The filter is in report mode: what it says is only recorded. */
  readonly filterReports: boolean;
  /** What is made of a message before it is delivered; `undefined`: nothing. */
  readonly transform: Transformation | undefined;
  /** What of a request is kept until it is delivered; `undefined`: the sender waits for the upstream's answer. */
  readonly queued: ReturnType<typeof eventMaker> | undefined;
  /** How an event is stored whose upstream is late; `undefined`: its sender is told 504. */
  readonly late: LateQueue | undefined;
  /** From the head's first byte to the answer; infinite without a sender. */
  readonly deadlineMs: number;
  readonly timeoutMs: number;
  /** How long an exchange may run on after that, whichever upstream a script chooses. */
  readonly lateMs: number;
  readonly claims: Claims;
  readonly rememberMs: number;
  readonly responder: Responder;
}

/** How the events of a forwarding route get onto its queue. */
export interface LateQueue {
  /** When an upstream is late, from the head's first byte; infinite without a sender's deadline. */
  readonly afterMs: number;
  readonly event: ReturnType<typeof eventMaker>;
  readonly rules: QueueSettings;
}

/** A request that has passed its checks. */
export interface Request {
  readonly route: Route;
  readonly message: Message;
  readonly client: string;
  readonly sender: Sender;
  readonly entry: Entry;
}

/** A sender that nobody can answer any more. */
export const LEFT = 'the sender left before the answer';
export const GONE: Refusal = Object.freeze({ reason: 'body.incomplete', detail: LEFT });

/** How long a copy can be made to wait for what becomes of the first: its upstream's time, and that of storing it then. */
export function copyTimeLeft(route: Route, head: Head): number {
  const firstMs = route.late === undefined ? route.timeoutMs : route.timeoutMs + LONGEST_WAIT_MS;
  return Math.min(firstMs, head.startedMs + route.deadlineMs - performance.now());
}

/** How long the sender can be made to wait from now. */
export function timeLeft(route: Route, head: Head): number {
  return Math.min(route.timeoutMs, head.startedMs + route.deadlineMs - performance.now());
}
