/** A script, and what it may take up. */
export interface Script {
  /** The file, for messages. */
  readonly name: string;
  readonly source: string;
  readonly timeoutMs: number;
  readonly memoryBytes: number;
}

/** One message for one script. */
export interface Job {
  readonly script: Script;
  readonly method: string;
  /** The target at the route's upstream. */
  readonly url: string;
  readonly body: Uint8Array;
  /** When the message was received, milliseconds since the epoch: the only time that a script can read. */
  readonly receivedMs: number;
}

/** What a script made of a message. */
export type Made =
  | { readonly kind: 'cancelled' }
  /** `payload` is `undefined` where the script left it as it was. */
  | {
      readonly kind: 'webhook';
      readonly method: string;
      readonly url: string;
      readonly payload: string | undefined;
    }
  /** The script is at fault, or its time or memory was not enough. */
  | { readonly kind: 'failed'; readonly detail: string }
  /** The message is nothing that a script could be given. */
  | { readonly kind: 'malformed'; readonly detail: string };

/** Why a script cannot be used. Line and column from 1. */
export interface ScriptFault {
  readonly line: number;
  readonly column: number;
  readonly sentence: string;
}
