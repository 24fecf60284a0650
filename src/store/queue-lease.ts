import type { Lease, LeaseAnswer, LeaseRequest, Queue } from '../events.ts';
import { type EventRow, eventOf, tokenOf } from './event-row.ts';
import { paces } from './pace.ts';
import type { StoredPayload } from './payload.ts';
import type { QueueParts } from './queue.ts';

export function leaser(parts: QueueParts): Queue['lease'] {
  const { database, writer, clock, unconfirmed, order, opener, owner } = parts;
  const pace = paces(database);
  const nextDue = database.prepare(`
    SELECT due FROM events INDEXED BY waiting
    WHERE state = 'waiting' AND route = ? AND seq < ? ORDER BY due LIMIT 1`);
  const nextOverrun = database.prepare(`
    SELECT until FROM events INDEXED BY delivering
    WHERE state = 'delivering' AND route = ? ORDER BY until LIMIT 1`);
  const freeOverrun = database.prepare(`
    UPDATE events SET state = 'waiting', until = NULL
    WHERE state = 'delivering' AND route = ? AND until <= ? RETURNING order_key`);
  const take = database.prepare(`
    UPDATE events SET state = 'delivering', attempts = attempts + 1, lease = lease + 1, owner = ?, until = ?
    WHERE seq IN (
      SELECT seq FROM events INDEXED BY waiting
      WHERE state = 'waiting' AND route = ? AND due <= ? AND seq < ? ORDER BY due LIMIT ?
    ) RETURNING *`);
  const payloadOf = database.prepare('SELECT head, body FROM payloads WHERE seq = ?');
  const seal = database.prepare(`
    UPDATE events SET state = 'sealed', attempts = attempts - 1, until = NULL
    WHERE seq = ? AND lease = ? AND state = 'delivering'`);

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
    const rows = take.all(
      owner,
      nowMs + request.leaseMs,
      route,
      nowMs,
      unconfirmed.first,
      count,
    ) as unknown as EventRow[];
    pace.use(route, request.pace, rows.length, nowMs);
    // SQLite promises no order for what an UPDATE returns.
    return rows.sort((one, other) => one.due - other.due || one.seq - other.seq);
  }

  /** `undefined`: it cannot be read, and stays until it can. */
  async function leaseOf(row: EventRow): Promise<Lease | undefined> {
    try {
      const payload = opener.payload(row.id, row.key, payloadOf.get(row.seq) as unknown as StoredPayload);
      return {
        event: eventOf(row, payload),
        attempt: row.attempts,
        step: row.attempts - row.base,
        token: tokenOf(row),
      };
    } catch (error) {
      parts.warn(`event ${row.id} of route ${row.route} waits: ${(error as Error).message}`);
      await writer.write({ apply: () => seal.run(row.seq, row.lease), survives: 'process', isLasting: true });
      return undefined;
    }
  }

  return async (route: string, request: LeaseRequest): Promise<LeaseAnswer> => {
    if (writer.problem !== undefined) throw new Error(writer.problem);
    const leases: Lease[] = [];
    // Only who finds something due asks for the lock.
    if (nextMs(route) <= clock.now() && pace.room(route, request.pace, clock.now()).count > 0) {
      let rows: EventRow[] = [];
      await writer.write({
        survives: 'process',
        apply: () => {
          rows = takeDue(route, request);
        },
      });
      for (const row of rows) {
        const lease = await leaseOf(row);
        if (lease !== undefined) leases.push(lease);
      }
    }
    const dueMs = nextMs(route);
    if (dueMs === Number.POSITIVE_INFINITY) return { leases, againMs: undefined };
    const nowMs = clock.now();
    return {
      leases,
      againMs: Math.max(0, dueMs - nowMs, pace.room(route, request.pace, nowMs).againMs),
    };
  };
}
