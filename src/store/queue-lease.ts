import type { Lease, LeaseAnswer, LeaseRequest, Queue } from '../events.ts';
import { type EventRow, eventOf, tokenOf } from './event-row.ts';
import { paces } from './pace.ts';
import type { StoredPayload } from './payload.ts';
import type { QueueParts } from './queue.ts';

/** Leases what is due. However many events wait, are held or are done with, each step is a search in an index. */
export function leaser(parts: QueueParts): Queue['lease'] {
  const { database, writer, clock, unconfirmed, order, opener, owner, unreadable } = parts;
  const pace = paces(database);
  const nextDue = database.prepare(`
    SELECT due FROM events INDEXED BY waiting
    WHERE state = 'waiting' AND route = ? AND seq < ? ORDER BY due LIMIT 1`);
  const nextOverrun = database.prepare(`
    SELECT until FROM events INDEXED BY delivering
    WHERE state = 'delivering' AND route = ? ORDER BY until LIMIT 1`);
  // Another lease number: whoever holds the old one must not settle what is free.
  const freeOverrun = database.prepare(`
    UPDATE events SET state = 'waiting', until = NULL, lease = lease + 1
    WHERE state = 'delivering' AND route = ? AND until <= ? RETURNING order_key`);
  const take = database.prepare(`
    UPDATE events SET state = 'delivering', attempts = attempts + 1, lease = lease + 1, owner = ?, until = ?
    WHERE seq IN (
      SELECT seq FROM events INDEXED BY waiting
      WHERE state = 'waiting' AND route = ? AND due <= ? AND seq < ? ORDER BY due LIMIT ?
    ) RETURNING *`);
  const payloadOf = database.prepare('SELECT head, body FROM payloads WHERE seq = ?');

  /** When something of the route is due, or a lease ends. */
  function nextMs(route: string): number {
    const waiting = nextDue.get(route, unconfirmed.first) as { due: number } | undefined;
    const leased = nextOverrun.get(route) as { until: number } | undefined;
    return Math.min(waiting?.due ?? Number.POSITIVE_INFINITY, leased?.until ?? Number.POSITIVE_INFINITY);
  }

  function takeDue(route: string, request: LeaseRequest): EventRow[] {
    const nowMs = clock.now();
    for (const { order_key } of freeOverrun.all(route, nowMs))
      order.arrange(route, order_key as string | null);
    const count = Math.min(request.count, pace.room(route, request.pace, nowMs).count);
    if (count <= 0) return [];
    const untilMs = nowMs + request.leaseMs;
    const found = take.all(owner, untilMs, route, nowMs, unconfirmed.first, count) as unknown as EventRow[];
    const rows = found.filter((row) => opener.hasKey(row.key) || unreadable.seal(row));
    pace.use(route, request.pace, rows.length, nowMs);
    // SQLite promises no order for what an UPDATE returns.
    return rows.sort((one, other) => one.due - other.due || one.seq - other.seq);
  }

  function leaseOf(row: EventRow): Lease {
    const payload = opener.payload(row.id, row.key, payloadOf.get(row.seq) as unknown as StoredPayload);
    return {
      event: eventOf(row, payload),
      attempt: row.attempts,
      step: row.attempts - row.base,
      token: tokenOf(row),
    };
  }

  async function leaseDue(route: string, request: LeaseRequest): Promise<Lease[]> {
    let rows: EventRow[] = [];
    await writer.write({
      survives: 'process',
      apply: () => {
        rows = takeDue(route, request);
      },
    });
    const leases: Lease[] = [];
    for (const row of rows) {
      try {
        leases.push(leaseOf(row));
      } catch (error) {
        await unreadable.put(row, error as Error);
      }
    }
    return leases;
  }

  return async (route: string, request: LeaseRequest): Promise<LeaseAnswer> => {
    if (writer.problem !== undefined) throw new Error(writer.problem);
    // Only who finds something due asks for the lock.
    const isDue = nextMs(route) <= clock.now() && pace.room(route, request.pace, clock.now()).count > 0;
    const leases = isDue ? await leaseDue(route, request) : [];
    const dueMs = nextMs(route);
    if (dueMs === Number.POSITIVE_INFINITY) return { leases, againMs: undefined };
    const nowMs = clock.now();
    const paceMs = pace.room(route, request.pace, nowMs).againMs;
    return { leases, againMs: Math.max(0, dueMs - nowMs, paceMs) };
  };
}
