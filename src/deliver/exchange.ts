import type { Fields } from '../fields.ts';
import type { Refusal, Settlement, UpstreamAnswer } from '../types.ts';

/** One request to an upstream. */
export interface Outgoing {
  readonly method: string;
  readonly path: string;
  readonly headers: Fields;
  readonly body: Buffer;
  /** How long the answer may take from now. */
  readonly timeoutMs: number;
  /** How long the exchange runs on after `timeoutMs`; 0: it ends there. */
  readonly lateMs: number;
  /** Whether the sender will see the body of an answer with this status. */
  readonly wantsBody: (status: number) => boolean;
  /** Called once, when it is known what became of the delivery. */
  readonly settled: (settlement: Settlement) => void;
}

/** What comes of it. */
export interface Exchange {
  /** The answer, or the fault that the sender is told. Never rejects. */
  readonly answer: Promise<UpstreamAnswer | Refusal>;
  /** The target that the request went to; `undefined`: it never had a connection. */
  readonly target: string | undefined;
  /** Whether its first byte may have been sent; one that is given up before that never is. */
  readonly isSent: boolean;
  /** Ends the wait for the answer; the exchange itself ends too, unless it may run on. */
  giveUp(refusal: Refusal): void;
}
