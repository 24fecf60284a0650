import { hash } from 'node:crypto';
import type { Attempt, QueuedEvent } from '../../events.ts';
import type { Sealer } from '../seal.ts';

/**
 * What is told of an event without its content. It stands in the name of the job, the one field beside `data` that
 * BullMQ leaves to us: lists read it without the body.
 */
type Facts = Omit<QueuedEvent, 'route' | keyof Content | 'body'> & {
  readonly bytes: number;
};

type Content = Pick<QueuedEvent, 'method' | 'path' | 'query' | 'headers' | 'evidence'>;

/** The data of a job: the content as it is, or sealed. */
export type JobData = (Content & { readonly body: string }) | { readonly sealed: string };

/** An attempt as it is written down. */
interface StoredAttempt extends Omit<Attempt, 'answer'> {
  readonly answer?: string;
  readonly sealed?: string;
}

/** One event of a client on a route is one job, however often it is sent; one without a signature is always its own. */
export function jobIdOf(event: Pick<QueuedEvent, 'route' | 'client' | 'messageId' | 'id'>): string {
  const { route, client, messageId, id } = event;
  // No colon may stand in it, so it is a hash.
  return hash('sha256', JSON.stringify(messageId === undefined ? [route, id] : [route, client, messageId]));
}

export function jobName(event: QueuedEvent): string {
  const {
    route: _route,
    method: _method,
    path: _path,
    query: _query,
    headers: _headers,
    evidence: _evidence,
    body,
    ...facts
  } = event;
  return JSON.stringify({ ...facts, bytes: body.length } satisfies Facts);
}

export function factsIn(name: string): Facts {
  const { messageId, eventType, orderKey, certificate, secret, ...rest } = JSON.parse(name) as Facts;
  return { messageId, eventType, orderKey, certificate, secret, ...rest };
}

export function jobData(event: QueuedEvent, sealer: Sealer | undefined): JobData {
  const { method, path, query, headers, evidence, body } = event;
  const content: Content = { method, path, query, headers, evidence };
  if (sealer === undefined) return { ...content, body: body.toString('base64') };
  const head = Buffer.from(JSON.stringify(content));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  return { sealed: sealer.seal(Buffer.concat([length, head, body]), event.id).toString('base64') };
}

/** @throws Error where the data is sealed and its key is not at hand */
export function eventIn(route: string, name: string, data: JobData, sealer: Sealer | undefined): QueuedEvent {
  const { bytes: _bytes, ...facts } = factsIn(name);
  if (!('sealed' in data)) {
    const { body, ...content } = data;
    return { ...facts, route, ...content, body: Buffer.from(body, 'base64') };
  }
  const plain = opened(data.sealed, facts.id, sealer);
  const end = 4 + plain.readUInt32BE();
  const content = JSON.parse(plain.toString('utf8', 4, end)) as Content;
  return { ...facts, route, ...content, body: plain.subarray(end) };
}

export function storedAttempt(attempt: Attempt, id: string, sealer: Sealer | undefined): StoredAttempt {
  const { answer, ...rest } = attempt;
  if (sealer === undefined) return { ...rest, answer: answer.toString('base64') };
  return { ...rest, sealed: sealer.seal(answer, attemptContext(id, attempt)).toString('base64') };
}

export function attemptIn(text: string, id: string, sealer: Sealer | undefined): Attempt {
  const { answer = '', sealed, ...stored } = JSON.parse(text) as StoredAttempt;
  const { target, status, reason, detail, ...rest } = stored;
  const bytes =
    sealed === undefined ? Buffer.from(answer, 'base64') : opened(sealed, attemptContext(id, stored), sealer);
  return { ...rest, target, status, reason, detail, answer: bytes };
}

function attemptContext(id: string, { number }: Pick<Attempt, 'number'>): string {
  return `${id} attempt ${number}`;
}

function opened(sealed: string, context: string, sealer: Sealer | undefined): Buffer {
  if (sealer === undefined) throw new Error('it is encrypted; give state.encryption_key');
  return sealer.open(Buffer.from(sealed, 'base64'), context);
}
