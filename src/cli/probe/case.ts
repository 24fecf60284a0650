import type { Identity } from '../send/post.ts';
import type { Expectation } from './expect.ts';
import type { Message } from './message.ts';
import {
  credentialsOf,
  makeEvent,
  makeMessage,
  type ProbeEvent,
  type Stage,
  signatureFields,
} from './stage.ts';

/** One request of a case: what is sent, and which certificate is presented. */
export interface Shot {
  readonly message: Message;
  readonly identity: Identity | undefined;
  /** What it is called where it is one of several. */
  readonly label?: string;
}

/** One question to a receiver. */
export interface Case {
  /** Stays the same from version to version. */
  readonly name: string;
  /** In words. */
  readonly sent: string;
  readonly expected: Expectation;
  /** Why that is right to expect, in a sentence. */
  readonly why: string;
  /** What says so, where something does; the name of a document in `DOCUMENTS` first. */
  readonly source?: string | undefined;
  /** Why it cannot be tried here, in words. */
  readonly lacks?: string | undefined;
  /** Asked with `--slow` only: how long its answer may take, milliseconds. */
  readonly slowMs?: number;
  /**
   * What is sent. Of several, by `order`: `last`, the last is judged and those before it must be accepted; `each`,
   * every one is judged; `copies`, they go together, and one may be told to come again.
   */
  readonly make: () => readonly Shot[];
  readonly order?: 'last' | 'each' | 'copies';
}

/** A good event as one shot; `change` makes it another. */
export function shotOf(
  stage: Stage,
  event: ProbeEvent,
  change: Partial<Message> = {},
  signature?: string,
): Shot {
  const message = makeMessage(stage, event.body, signatureFields(stage, event, signature));
  return { message: { ...message, ...change }, identity: stage.identity };
}

/** A new good event as one shot. */
export function goodShot(stage: Stage, of: string, change: Partial<Message> = {}): Shot {
  return shotOf(stage, makeEvent(stage, of), change);
}

/** Why cases about signatures cannot be tried, if so. */
export function lacksSecret({ keys, profile }: Stage): string | undefined {
  if (keys.length > 0) return undefined;
  return profile.signature ? 'no signing secret was given' : `${profile.name} does not sign`;
}

/** Why there is nothing in a request that proves who sends it. */
export function lacksProof(stage: Stage): string | undefined {
  if (stage.keys.length > 0 || credentialsOf(stage).length > 0) return undefined;
  return 'neither a signing secret nor an Authorization was given: nothing is there to be left out';
}
