import type { BodyBudget } from '../body.ts';
import type { Limits } from '../settings.ts';
import type { Handler, Peer } from '../types.ts';
import type { Alarm } from './alarm.ts';
import type { Seat } from './crowd.ts';
import type { ResolvePeer } from './forwarded.ts';
import type { Inbox } from './inbox.ts';

/** What all connections of a listener have in common; a new configuration changes it under them. */
export interface Shared {
  readonly handler: Handler;
  readonly budget: BodyBudget;
  readonly limits: Pick<Limits, 'headerTimeout' | 'bodyTimeout' | 'idleTimeout'>;
  /** Whose word each request is, where load balancers speak for many; `undefined`: always the connection's peer. */
  readonly resolvePeer: ResolvePeer | undefined;
}

export interface ConnectionOptions {
  readonly shared: Shared;
  readonly peer: Peer;
  /** Its place among all connections. */
  readonly seat: Seat;
}

/** What an exchange needs of the connection it runs on. */
export interface Line {
  readonly options: ConnectionOptions;
  readonly inbox: Inbox;
  readonly alarm: Alarm;
  /** The sender has said all it will say. */
  readonly hasEnded: boolean;
  /** Tells the client to go on (RFC 9110 section 10.1.1). */
  sendContinue(): void;
  /** Reading goes on: more bytes are wanted. */
  wanted(): void;
}
