import { hash, randomUUID } from 'node:crypto';
import type { Attempt, Lease, QueuedEvent } from '../../src/events.ts';

/** An event as the gateway hands it to a queue. */
export function queuedEvent(more: Partial<QueuedEvent> = {}): QueuedEvent {
  const body = more.body ?? Buffer.from('{"eventType":"claim.test"}');
  return {
    id: randomUUID(),
    route: 'a',
    client: '',
    messageId: `msg_${randomUUID()}`,
    eventType: 'claim.test',
    receivedMs: Date.now(),
    orderKey: undefined,
    method: 'POST',
    path: '/a',
    query: '?x=1',
    headers: ['content-type', 'application/json', 'x-one', 'ä'],
    body,
    bodySha256: hash('sha256', body),
    address: '192.0.2.1',
    certificate: { subject: 'CN=codat', fingerprint: `sha256:${'ab'.repeat(32)}` },
    secret: 1,
    ...more,
  };
}

/** What became of a delivery. */
export function attemptOf(lease: Lease, more: Partial<Attempt> = {}): Attempt {
  return {
    number: lease.attempt,
    startedMs: Date.now(),
    durationMs: 12,
    target: 'http://127.0.0.1:9000',
    status: 503,
    reason: undefined,
    detail: undefined,
    answer: Buffer.from('not now'),
    ...more,
  };
}
