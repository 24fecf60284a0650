import { randomBytes } from 'node:crypto';
import type { Agent } from 'node:https';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import type { SenderProfile } from '../../sender-profile.ts';
import { userAgent } from './agent.ts';
import type { FieldSigner } from './declared.ts';
import type { Fields } from './fields.ts';
import { post } from './post.ts';
import { decideNext, isDispatchedBySvix, jitterOf, type Next, type Outcome } from './rules.ts';
import type { Signer } from './sign.ts';

/** One message: its id and its bytes stay the same over every attempt. */
export interface OutgoingEvent {
  readonly id: string;
  readonly type: string;
  readonly body: Buffer;
}

/** How events are sent: where to, as whom, by which sender's rules. */
export interface SendOptions {
  readonly url: URL;
  readonly method: string;
  readonly profile: SenderProfile;
  readonly agent: Agent;
  /** Further fields; they win over the sender's own. */
  readonly headers: Fields;
  /** `undefined`: not signed by Standard Webhooks. */
  readonly signer: Signer | undefined;
  /** How a sender signs whose scheme is declared. */
  readonly signFields?: FieldSigner | undefined;
  readonly deadlineMs: number;
  /** Every pause is divided by this; 1 is the sender's real schedule. */
  readonly fasterBy: number;
  /** The clock that signatures are dated by; the wall clock where left out. */
  readonly clock?: () => Date;
  /** From 0 to 1, for the jitter; `Math.random` where left out. */
  readonly random?: () => number;
}

/** One attempt, what came of it, and what the sender does next. */
export interface Attempt extends Outcome {
  readonly event: OutgoingEvent;
  readonly at: Date;
  /** From 1. */
  readonly number: number;
  /** How many attempts this sender makes at most. */
  readonly of: number;
  readonly ms: number;
  readonly next: Next;
  /** The pause that really follows, milliseconds: with the sender's jitter, and smaller with `fasterBy`. */
  readonly nowMs: number | undefined;
}

/** With this, the longest pause there is (24 h) becomes 2.4 s, ten hours become one second. */
export const FAST = 36_000;

/**
 * Sends one event by its sender's rules: an attempt, its pause, the next attempt, until one is accepted or the
 * sender would give up. Each attempt is signed anew, with its own time, as Svix does.
 */
export async function* sendEvent(
  event: OutgoingEvent,
  options: SendOptions,
): AsyncGenerator<Attempt, void, void> {
  const { profile, random = Math.random } = options;
  const jitter = (): number => 1 + jitterOf(profile) * (2 * random() - 1);
  for (let number = 1; ; number++) {
    const at = (options.clock ?? (() => new Date()))();
    const startedMs = performance.now();
    const outcome = await post({
      url: options.url,
      method: options.method,
      event: ownFields(event, at, options),
      custom: options.headers,
      body: event.body,
      agent: options.agent,
      deadlineMs: options.deadlineMs,
      followRedirects: profile.redirects === 'followed',
      resendAtOnce: isDispatchedBySvix(profile),
    });
    const ms = performance.now() - startedMs;
    const next = decideNext(profile, outcome, number, Date.now());
    const nowMs = next.kind === 'retry' ? (next.pauseMs * jitter()) / options.fasterBy : undefined;
    yield { ...outcome, event, at, number, of: profile.retries.scheduleMs.length + 1, ms, next, nowMs };
    if (nowMs === undefined) return;
    await pause(nowMs);
  }
}

/** A message id as Svix gives them. */
export function makeMessageId(): string {
  return `msg_${randomBytes(20).toString('base64url').replaceAll(/[-_]/g, 'x')}`;
}

/** What Svix's dispatcher says of an event, in its order and spelling. */
function ownFields(event: OutgoingEvent, at: Date, options: SendOptions): Fields {
  const fields: Record<string, string> = { 'content-type': 'application/json' };
  const { url, method, signFields, signer } = options;
  if (signFields) Object.assign(fields, signFields({ url, method, id: event.id, at, body: event.body }));
  else if (signer) {
    const rule = options.profile.signature;
    const family = rule?.scheme === 'standard-webhooks' ? rule.family : 'webhook';
    fields[`${family}-id`] = event.id;
    fields[`${family}-timestamp`] = String(Math.floor(at.getTime() / 1000));
    fields[`${family}-signature`] = signer(event.id, at, event.body);
  }
  fields['user-agent'] = userAgent('send');
  return fields;
}
