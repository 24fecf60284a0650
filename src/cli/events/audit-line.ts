import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { EventSummary } from '../../events.ts';
import { ownerOf } from '../../lane.ts';
import { isoTime } from './time.ts';
import { jsonText } from './visible.ts';
import { forcedJson } from './words.ts';

/** What a chain begins with, in the place of the hash of a line before the first. */
export const GENESIS = '0'.repeat(64);

const hex = z.string().regex(/^[0-9a-f]{64}$/);
const whole = z.int().min(0);
const time = z.string().refine((text) => isoTime(Date.parse(text)) === text);

/** What is audited of an event; the order of the keys is that of the line. */
const factsShape = {
  id: z.string(),
  message_id: z.string().optional(),
  route: z.string(),
  client: z.string().optional(),
  event_type: z.string().optional(),
  body_sha256: hex,
  certificate: z.strictObject({ fingerprint: z.string(), subject: z.string() }).optional(),
  address: z.string(),
  secret: whole.optional(),
  forced: z.strictObject({ by: z.string(), at: time, reason: z.string() }).optional(),
  verdict: z.enum(['delivered', 'dead']),
  upstream_status: whole.optional(),
  reason: z.string().optional(),
  attempts: whole,
  received: time,
  finished: time,
};

const lineSchema = z.strictObject({
  n: z.int().min(1),
  ...factsShape,
  late: z.literal(true).optional(),
  previous: hex,
});

export type AuditFacts = z.output<z.ZodObject<typeof factsShape>>;

/** A line as it was read. */
export interface AuditLine {
  /** From 1, without a gap. */
  readonly n: number;
  readonly facts: AuditFacts;
  readonly finishedMs: number;
  /** It finished before the line before it: a clock was set back, or the line had been lost and was added again. */
  readonly late: boolean;
  /** The hash of the line before. */
  readonly previous: string;
  readonly hash: string;
}

/** The line's place in its chain. */
export type Place = Pick<AuditLine, 'n' | 'late' | 'previous'>;

/** What a line says of a finished event; `undefined`: it is not finished. */
export function auditFacts(event: EventSummary): AuditFacts | undefined {
  const { state, finishedMs, certificate } = event;
  if ((state !== 'delivered' && state !== 'dead') || finishedMs === undefined) return undefined;
  return {
    id: event.id,
    message_id: event.messageId,
    route: ownerOf(event.route).route,
    client: event.client === '' ? undefined : event.client,
    event_type: event.eventType,
    body_sha256: event.bodySha256,
    certificate: certificate && { fingerprint: certificate.fingerprint, subject: certificate.subject },
    address: event.address,
    secret: event.secret,
    forced: event.forced && forcedJson(event.forced),
    verdict: state,
    upstream_status: event.status,
    reason: event.reason,
    attempts: event.attempts,
    received: isoTime(event.receivedMs),
    finished: isoTime(finishedMs),
  };
}

/** The line without its end, and its hash: SHA-256 over the line as it would be without the member `hash`. */
export function writeLine(facts: AuditFacts, { n, late, previous }: Place): { text: string; hash: string } {
  const hashed = jsonText({ n, ...facts, late: late || undefined, previous });
  const hash = sha256(hashed);
  return { text: `${hashed.slice(0, -1)}${HASH_MEMBER}${hash}"}`, hash };
}

/** A line of a file, or what is wrong with it. */
export function readLine(bytes: Buffer): AuditLine | string {
  const end = bytes.subarray(Math.max(0, bytes.length - TAIL)).toString('latin1');
  const hash = END.exec(end)?.[1];
  if (hash === undefined) return 'this is no line of an audit, or its end is gone';
  // Over the bytes as they are: decoded first, two different lines could be one text.
  const hashed = Buffer.concat([bytes.subarray(0, bytes.length - TAIL), Buffer.from('}')]);
  if (sha256(hashed) !== hash) return 'this line was altered: its hash is not that of its text';
  const line = parsed(hashed);
  if (line === undefined) return 'this line was not written by `postern events audit`, though its hash fits';
  const { n, late, previous, ...facts } = line;
  return { n, facts, finishedMs: Date.parse(facts.finished), late: late === true, previous, hash };
}

/** What tells finished events apart: one that was retried finishes more than once. */
export function keyOf(id: string, finishedMs: number): string {
  return `${id} ${finishedMs.toString(36)}`;
}

/** The facts in 16 bytes. */
export function digestOf(facts: AuditFacts): Buffer {
  return createHash('sha256').update(jsonText(facts)).digest().subarray(0, 16);
}

export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

const HASH_MEMBER = ',"hash":"';
const TAIL = HASH_MEMBER.length + 64 + 2;
const END = /^,"hash":"([0-9a-f]{64})"\}$/;

function parsed(bytes: Buffer): z.output<typeof lineSchema> | undefined {
  try {
    const { data } = lineSchema.safeParse(JSON.parse(bytes.toString()));
    // The same facts in other words (spaces, keys in another order or twice) would be read differently elsewhere.
    return data !== undefined && Buffer.from(jsonText(data)).equals(bytes) ? data : undefined;
  } catch {
    return undefined;
  }
}
