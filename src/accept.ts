import { hash } from 'node:crypto';
import type { AcceptedClaim, Queue, QueuedEvent } from './events.ts';
import { fieldValue } from './fields.ts';
import type { UpstreamFields } from './headers.ts';
import { laneOf } from './lane.ts';
import { memberAt, parseMessage } from './message.ts';
import type { Entry } from './record/entry.ts';
import type { RouteSettings } from './settings.ts';
import type { Message, Refusal } from './types.ts';

/** Compiles what of a route's requests is kept until they are delivered. */
export function eventMaker(
  route: RouteSettings,
  fields: UpstreamFields,
): (message: Message, client: string, entry: Entry) => QueuedEvent {
  const orderKeyOf = orderKeyReader(route);
  return (message, client, { messageId, eventType, secret }) => {
    const { address, certificate } = message.peer;
    return {
      id: message.id,
      route: laneOf(route.name, route.client?.id),
      client,
      messageId,
      eventType,
      receivedMs: message.epochMs,
      orderKey: orderKeyOf(message),
      method: message.method,
      path: message.path,
      query: message.query,
      headers: fields.received(message),
      body: message.body,
      bodySha256: hash('sha256', message.body),
      address,
      certificate: certificate && { subject: certificate.subject, fingerprint: certificate.fingerprint },
      secret,
    };
  };
}

/** Events that do not have what the order goes by are in no order. */
export function orderKeyReader({ queue, sender }: RouteSettings): (message: Message) => string | undefined {
  const { ordered } = queue;
  switch (ordered?.by) {
    case 'certificate':
      return ({ peer }) => peer.certificate?.fingerprint;
    case 'header':
      return ({ headers }) => fieldValue(headers, ordered.name);
    case 'company': {
      const paths = sender?.event.company ?? [];
      return ({ body }) => {
        const message = parseMessage(body);
        return message instanceof Error ? undefined : memberAt(message, paths);
      };
    }
    default:
      return () => undefined;
  }
}

/** Without a sender's deadline; a disk that takes longer is as good as none. */
export const LONGEST_WAIT_MS = 30_000;
const SLOW: Refusal = Object.freeze({
  reason: 'state.unavailable',
  detail: 'the state did not answer within the time the sender waits',
});

/** An event that is about to be accepted. */
export interface Acceptance {
  readonly event: QueuedEvent;
  /** `undefined`: it is not signed. */
  readonly claim: AcceptedClaim | undefined;
  /** How long its sender waits. */
  readonly withinMs: number;
}

/**
 * Stores an event. Resolves once the disk has it, or with what its sender is told instead, in `withinMs` at the latest:
 * an event that is stored after that is delivered all the same, and its copy is a duplicate. Never rejects.
 * @param stored called once it is on disk
 */
export function acceptEvent(
  queue: Queue,
  { event, claim, withinMs }: Acceptance,
  stored: () => void,
): Promise<Refusal | undefined> {
  return storedWithin(withinMs, queue.accept(event, claim).then(stored));
}

/** Resolves once an event is stored, or in this time at the latest with what its sender is told instead. Never rejects. */
export async function storedWithin(withinMs: number, storing: Promise<void>): Promise<Refusal | undefined> {
  const ended = storing.catch(
    (error: Error): Refusal => ({
      reason: 'state.unavailable',
      detail: error.message,
    }),
  );
  const late = Promise.withResolvers<Refusal>();
  const timer = setTimeout(() => late.resolve(SLOW), Math.min(Math.max(withinMs, 0), LONGEST_WAIT_MS));
  const refusal = await Promise.race([ended, late.promise]);
  clearTimeout(timer);
  return refusal ?? undefined;
}
