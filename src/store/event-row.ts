import type { QueuedEvent } from '../events.ts';
import type { Forced } from '../quarantined.ts';
import type { Payload } from './payload.ts';

/** A row of the table `events`. */
export interface EventRow {
  readonly seq: number;
  readonly id: string;
  readonly route: string;
  readonly client: string;
  readonly message_id: string | null;
  readonly event_type: string | null;
  readonly state: string;
  readonly due: number;
  readonly attempts: number;
  readonly base: number;
  readonly lease: number;
  readonly until: number | null;
  readonly received: number;
  readonly finished: number | null;
  readonly finish_no: number | null;
  readonly order_key: string | null;
  readonly address: string;
  readonly subject: string | null;
  readonly fingerprint: string | null;
  readonly secret: number | null;
  readonly bytes: number;
  readonly size: number;
  readonly sha256: string | null;
  readonly key: string | null;
  readonly status: number | null;
  readonly reason: string | null;
  readonly print: string | null;
  readonly forced: string | null;
}

/** The event as it was accepted. */
export function eventOf(row: EventRow, payload: Payload): QueuedEvent {
  return {
    id: row.id,
    route: row.route,
    client: row.client,
    messageId: row.message_id ?? undefined,
    eventType: row.event_type ?? undefined,
    receivedMs: row.received,
    orderKey: row.order_key ?? undefined,
    ...payload,
    address: row.address,
    certificate: certificateOf(row),
    secret: row.secret ?? undefined,
    ...(row.forced !== null && { forced: forcedOf(row) }),
  };
}

export function forcedOf({ forced }: EventRow): Forced | undefined {
  return forced === null ? undefined : (JSON.parse(forced) as Forced);
}

export function certificateOf({ subject, fingerprint }: EventRow): QueuedEvent['certificate'] {
  return fingerprint === null ? undefined : { subject: subject ?? '', fingerprint };
}

/** Names a lease: the event's row, and how often that was leased. */
export function tokenOf({ seq, lease }: Pick<EventRow, 'seq' | 'lease'>): string {
  return `${seq}.${lease}`;
}

export function readToken(token: string | number): { seq: number; lease: number } {
  const [seq, lease] = String(token).split('.').map(Number);
  return { seq: seq ?? -1, lease: lease ?? -1 };
}
