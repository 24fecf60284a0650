import { hash, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { QueuedEvent } from '../../../src/events.ts';
import { sqliteStore } from '../../../src/store/sqlite.ts';
import type { Store } from '../../../src/store-types.ts';

/** As many as share a transaction, and a sync. */
const GROUP = 500;
const REMEMBER_MS = 7 * 86_400_000;
const LEASE_MS = 60_000;

export interface Filling {
  readonly count: number;
  readonly bodyBytes: number;
  /** Whether all of them are delivered too, so that they are remembered and nothing waits. */
  readonly isDelivered: boolean;
  /** The route. */
  readonly route: string;
}

/** Writes a state file by the store's own code, as a gateway that accepted so many events leaves it. */
export async function fillState(folder: string, { count, isDelivered, ...what }: Filling): Promise<void> {
  const store = await sqliteStore(
    {
      path: join(folder, 'postern.db'),
      keys: [],
      retention: { deliveredMs: REMEMBER_MS, deadMs: undefined, sizeBytes: undefined },
    },
    console.error,
  );
  for (let left = count; left > 0; left -= GROUP) {
    const events = Array.from({ length: Math.min(GROUP, left) }, () => eventOf(what));
    await Promise.all(events.map((event) => accept(store, event)));
    if (isDelivered) await deliver(store, what.route, events.length);
  }
  await store.close();
}

async function accept({ claim, queue }: Store, event: QueuedEvent): Promise<void> {
  const key = `${event.route}\n\n${event.messageId}`;
  const answer = await claim(key, LEASE_MS);
  if (answer.state !== 'owned') throw new Error(`${event.messageId} is not new`);
  await queue.accept(event, { key, token: answer.token, rememberMs: REMEMBER_MS });
}

async function deliver({ queue }: Store, route: string, count: number): Promise<void> {
  const { leases } = await queue.lease(route, { count, leaseMs: LEASE_MS, pace: undefined });
  if (leases.length !== count) throw new Error(`${leases.length} of ${count} events were leased`);
  await Promise.all(
    leases.map((lease) =>
      queue.settle(
        lease,
        {
          number: 1,
          startedMs: Date.now(),
          durationMs: 2,
          target: 'http://127.0.0.1:8080',
          status: 200,
          reason: undefined,
          detail: undefined,
          answer: Buffer.alloc(0),
        },
        { state: 'delivered' },
      ),
    ),
  );
}

/** What the gateway makes of an event of the bench. */
function eventOf({ route, bodyBytes }: Pick<Filling, 'route' | 'bodyBytes'>): QueuedEvent {
  const messageId = `msg_${randomUUID()}`;
  const nowMs = Date.now();
  const body = Buffer.alloc(bodyBytes, 'x');
  return {
    id: randomUUID(),
    route,
    client: '',
    messageId,
    eventType: 'read.completed',
    receivedMs: nowMs,
    orderKey: undefined,
    method: 'POST',
    path: '/codat/events',
    query: '',
    headers: [
      ...['host', '127.0.0.1', 'user-agent', 'postern-bench', 'accept', '*/*'],
      ...['content-type', 'application/json', 'content-length', String(bodyBytes)],
      ...['webhook-id', messageId, 'webhook-timestamp', String(Math.floor(nowMs / 1000))],
      ...['webhook-signature', `v1,${hash('sha256', messageId, 'base64')}`],
      ...['x-request-id', randomUUID(), 'x-postern-route', route, 'x-forwarded-for', '127.0.0.1'],
    ],
    body,
    bodySha256: hash('sha256', body),
    address: '127.0.0.1',
    certificate: { subject: 'CN=bench-sender', fingerprint: `sha256:${hash('sha256', route)}` },
    secret: 0,
  };
}
