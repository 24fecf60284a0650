import type { BodyBudget } from '../body.ts';
import type { Limits } from '../settings.ts';
import type { Handler, Peer } from '../types.ts';
import type { Alarm } from './alarm.ts';
import type { Inbox } from './inbox.ts';

export interface ConnectionOptions {
  readonly handler: Handler;
  readonly peer: Peer;
  readonly budget: BodyBudget;
  readonly limits: Pick<Limits, 'headerTimeout' | 'bodyTimeout' | 'idleTimeout'>;
}

/** What an exchange needs of the connection it runs on. */
export interface Line {
  readonly options: ConnectionOptions;
  readonly inbox: Inbox;
  readonly alarm: Alarm;
  /** Tells the client to go on (RFC 9110 section 10.1.1). */
  sendContinue(): void;
  /** Reading goes on: more bytes are wanted. */
  wanted(): void;
}
