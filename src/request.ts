import type { eventMaker } from './accept.ts';
import type { attester } from './attest.ts';
import type { Checks } from './check/index.ts';
import type { Upstream } from './deliver/upstream.ts';
import type { messageFilter } from './filter.ts';
import type { Quarantine } from './quarantine.ts';
import type { Entry } from './record/entry.ts';
import type { Responder } from './respond.ts';
import type { Transformation } from './transformation.ts';
import type { Claims, Head, Message, Refusal, Sender } from './types.ts';

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
  /** Where a message goes whose signature does not hold; `undefined`: it is refused. */
  readonly quarantine: Quarantine | undefined;
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

/** How long the sender can be made to wait from now. */
export function timeLeft(route: Route, head: Head): number {
  return Math.min(route.timeoutMs, head.startedMs + route.deadlineMs - performance.now());
}
