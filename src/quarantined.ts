import type { Fields } from './fields.ts';

/** What a signature is judged by later, as the sender sent it: the headers that an upstream gets are not enough. */
export interface Evidence {
  /** The Host field. */
  readonly authority: string;
  /** All that were sent, but for the credentials that the route asks for: they held, and whoever reads them could send. */
  readonly headers: Fields;
  /** What of the client certificate an event does not say otherwise. */
  readonly certificate: {
    readonly names: readonly string[];
    readonly publicKey: string;
    /** Milliseconds since the epoch. */
    readonly notAfterMs: number;
  };
}

/** Who released an event whose signature does not hold, why, and when (milliseconds since the epoch). */
export interface Forced {
  readonly by: string;
  readonly reason: string;
  readonly atMs: number;
}

/** How many events of a route may lie in quarantine at one time, and for how long each. */
export interface QuarantineSettings {
  readonly limit: number;
  /** Of an event, as the route says when it comes. */
  readonly ageMs: number;
}

/** How an event is kept in quarantine. */
export interface QuarantineBounds extends QuarantineSettings {
  /** Byte-identical copies have the same. */
  readonly print: string;
}

/** What became of an event that was to be kept; `copy`: it lies there already; `full`: the limit is reached. */
export type Quarantining = 'stored' | 'copy' | 'full';

/** What an event is known by once its signature has held, or an operator has vouched for it. */
export interface Release {
  /** The event's own id, and where the state keeps it. */
  readonly id: string;
  readonly place: string;
  readonly route: string;
  readonly messageId: string | undefined;
  readonly eventType: string | undefined;
  readonly orderKey: string | undefined;
  /** The place (from 0) of the secret that matched; `undefined`: none did. */
  readonly secret: number | undefined;
  readonly forced: Forced | undefined;
}

/** What became of a release; `duplicate`: the message was accepted before; `gone`: the event is not in quarantine any more. */
export type Releasing = 'released' | 'duplicate' | 'gone';
