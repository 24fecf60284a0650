import type { EventDetail, EventFilter, EventState, EventSummary } from '../../events.ts';
import { isAskedLane } from '../../lane.ts';
import type { Reason } from '../../reasons.ts';
import type { Sealer } from '../seal.ts';
import type { Client } from './client.ts';
import { type IndexEntry, indexMember } from './event-index.ts';
import { attemptIn, eventIn, factsIn, type JobData, jobIdOf } from './job.ts';
import { quarantineId } from './quarantine-keys.ts';
import { dueMsOf } from './takeover.ts';

const FIELDS = [
  'name',
  'timestamp',
  'finishedOn',
  'failedReason',
  'ats',
  'returnvalue',
  'last',
  'expires',
] as const;

/** A job to be looked at. */
export interface Looked {
  readonly route: string;
  readonly jobId: string;
  /** The event that it is thought to be; `undefined`: whichever it is. */
  readonly id: string | undefined;
}

export function jobOf(entry: IndexEntry): Looked {
  const jobId = entry.isQuarantined ? quarantineId(entry.id) : jobIdOf(entry);
  return { route: entry.route, jobId, id: entry.id };
}

/** A job as the operator sees it. */
export interface Seen {
  readonly jobId: string;
  /** As it stands in the index. */
  readonly member: string;
  readonly summary: EventSummary;
  /** How many deliveries have begun. */
  readonly begun: number;
}

/** Reads what is told of an event; `undefined`: the job is gone, or is another event's now. */
export async function readSummary(
  client: Client,
  base: string,
  { route, jobId, id }: Looked,
): Promise<Seen | undefined> {
  const [values, locked, score] = await Promise.all([
    client.hmget(base + jobId, ...FIELDS),
    client.exists(`${base}${jobId}:lock`),
    client.zscore(`${base}delayed`, jobId),
  ]);
  const [name, timestamp, finishedOn, failedReason, begun, returned, last, expires] = values;
  const isQuarantined = typeof expires === 'string';
  if (typeof name !== 'string') return undefined;
  const { orderKey: _orderKey, receivedMs, ...facts } = factsIn(name);
  if (id !== undefined && facts.id !== id) return undefined;
  const member = indexMember({ ...facts, route }, isQuarantined);
  const isDead = typeof finishedOn === 'string' && typeof failedReason === 'string';
  const state = isQuarantined ? 'quarantined' : stateOf(typeof finishedOn === 'string', isDead, locked === 1);
  const ended = (state === 'delivered' ? returned : last) ?? undefined;
  const { status, reason } = JSON.parse(ended ?? '{}') as { status?: number; reason?: Reason };
  const dueMs = score === null ? Number(timestamp) : dueMsOf(score);
  const summary: EventSummary = {
    ...facts,
    place: Buffer.from(member).toString('base64url'),
    receivedMs,
    route,
    state,
    attempts: Number(begun ?? 0),
    dueMs: state === 'waiting' ? dueMs : undefined,
    expiresMs: isQuarantined ? Number(expires) : undefined,
    forced: facts.forced,
    finishedMs: typeof finishedOn === 'string' ? Number(finishedOn) : undefined,
    status,
    reason,
  };
  return { jobId, member, summary, begun: Number(begun ?? 0) };
}

function stateOf(isFinished: boolean, isDead: boolean, isLocked: boolean): EventState {
  if (isFinished) return isDead ? 'dead' : 'delivered';
  return isLocked ? 'delivering' : 'waiting';
}

/** The same with its content and all attempts. @throws Error where they are sealed and the key is not at hand */
export async function readDetail(
  client: Client,
  base: string,
  { jobId, summary }: Seen,
  sealer: Sealer | undefined,
): Promise<EventDetail | undefined> {
  const job = await client.hgetall(base + jobId);
  if (job.name === undefined || job.data === undefined) return undefined;
  const event = eventIn(summary.route, job.name, JSON.parse(job.data) as JobData, sealer);
  const { method, path, query, headers, evidence, body } = event;
  const stored = Object.entries(job).flatMap(([field, value]) =>
    field.startsWith('attempt:') ? [value] : [],
  );
  if (summary.state === 'delivered' && job.returnvalue !== undefined) stored.push(job.returnvalue);
  const log = stored.map((text) => attemptIn(text, event.id, sealer)).sort((a, b) => a.number - b.number);
  return { ...summary, method, path, query, headers, evidence, body, log };
}

/** Whether an event is among those asked for. */
export function isAsked(event: EventSummary, filter: EventFilter): boolean {
  const { route, states, eventType, id, fromMs, toMs, finishedFromMs } = filter;
  if (route !== undefined && !isAskedLane(event.route, route)) return false;
  if (states !== undefined && !states.includes(event.state)) return false;
  if (eventType !== undefined && !isOfType(event.eventType ?? '', eventType)) return false;
  if (id !== undefined && event.id !== id && event.messageId !== id) return false;
  if (fromMs !== undefined && event.receivedMs < fromMs) return false;
  if (toMs !== undefined && event.receivedMs >= toMs) return false;
  return finishedFromMs === undefined || (event.finishedMs ?? Number.NEGATIVE_INFINITY) >= finishedFromMs;
}

function isOfType(type: string, wanted: string): boolean {
  return wanted.endsWith('*') ? type.startsWith(wanted.slice(0, -1)) : type === wanted;
}
