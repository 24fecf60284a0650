import { randomBytes } from 'node:crypto';
import type { Agent } from 'node:https';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { Webhook } from 'svix';
import type { SenderProfile } from '../../settings.ts';
import type { FieldSigner } from './declared.ts';
import { post, USER_AGENT } from './post.ts';
import { decideNext, type Next, type Outcome } from './rules.ts';

/** One message: its id and its bytes stay the same over every attempt. */
export interface OutgoingEvent {
  readonly id: string;
  readonly type: string;
  readonly body: Buffer;
}

/** The value of the signature header: `v1,` and base64. */
export type Signer = (id: string, at: Date, body: Buffer) => string;

/** How events are sent: where to, as whom, by which sender's rules. */
export interface SendOptions {
  readonly url: URL;
  readonly method: string;
  readonly profile: SenderProfile;
  readonly agent: Agent;
  /** Further fields, names in lower case; they win over the sender's own. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** `undefined`: not signed by Standard Webhooks. */
  readonly signer: Signer | undefined;
  /** How a sender signs whose scheme is declared. */
  readonly signFields?: FieldSigner | undefined;
  readonly deadlineMs: number;
  /** Every pause is divided by this; 1 is the sender's real schedule. */
  readonly fasterBy: number;
  /** The clock that signatures are dated by; the wall clock where left out. */
  readonly clock?: () => Date;
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
  /** The pause that really follows, milliseconds; smaller than the sender's own with `fasterBy`. */
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
  const { profile } = options;
  for (let number = 1; ; number++) {
    const at = (options.clock ?? (() => new Date()))();
    const startedMs = performance.now();
    const outcome = await post({
      url: options.url,
      method: options.method,
      headers: { ...ownHeaders(event, at, options), ...options.headers },
      body: event.body,
      agent: options.agent,
      deadlineMs: options.deadlineMs,
      followRedirects: profile.redirects === 'followed',
    });
    const ms = performance.now() - startedMs;
    const next = decideNext(profile, outcome, number, Date.now());
    const nowMs = next.kind === 'retry' ? next.pauseMs / options.fasterBy : undefined;
    yield { ...outcome, event, at, number, of: profile.retries.scheduleMs.length + 1, ms, next, nowMs };
    if (nowMs === undefined) return;
    await pause(nowMs);
  }
}

/** Signs with the `svix` package. @throws Error where `secret` is not base64 (with or without `whsec_`) */
export function makeSigner(secret: string): Signer {
  const webhook = new Webhook(secret);
  return (id, at, body) => webhook.sign(id, at, body.toString('utf8'));
}

/** A message id as Svix gives them. */
export function makeMessageId(): string {
  return `msg_${randomBytes(20).toString('base64url').replaceAll(/[-_]/g, 'x')}`;
}

function ownHeaders(event: OutgoingEvent, at: Date, options: SendOptions): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': 'application/json', 'user-agent': USER_AGENT };
  const { url, method, signFields } = options;
  if (signFields) return { ...headers, ...signFields({ url, method, id: event.id, at, body: event.body }) };
  if (!options.signer) return headers;
  const rule = options.profile.signature;
  const family = rule?.scheme === 'standard-webhooks' ? rule.family : 'webhook';
  headers[`${family}-id`] = event.id;
  headers[`${family}-timestamp`] = String(Math.floor(at.getTime() / 1000));
  headers[`${family}-signature`] = options.signer(event.id, at, event.body);
  return headers;
}
