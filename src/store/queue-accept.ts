import type { AcceptedClaim, Lease, Queue, QueuedEvent } from '../events.ts';
import { UnconfirmedError } from './change.ts';
import { OVERRUN } from './claims.ts';
import { eventInserter } from './event-insert.ts';
import { tokenOf } from './event-row.ts';
import { type StoredPayload, storePayload } from './payload.ts';
import type { QueueParts } from './queue.ts';
import { REMOVABLE, type Removable } from './remove.ts';

export function acceptor(parts: QueueParts): Pick<Queue, 'accept' | 'acceptLeased'> {
  const { database, writer, unconfirmed, order, books, clock, keeping, sealer, remove, watch, owner } = parts;
  const insertEvent = eventInserter(database, sealer);
  const lease = database.prepare(
    "UPDATE events SET state = 'delivering', attempts = 1, lease = 1, owner = ?, until = ? WHERE seq = ?",
  );
  const find = database.prepare(`SELECT ${REMOVABLE} FROM events WHERE seq = ? AND id = ?`);

  function insert(event: QueuedEvent, payload: StoredPayload): number {
    const { route, orderKey } = event;
    const isHeld = orderKey !== undefined && order.isTaken(route, orderKey);
    const seq = insertEvent(event, payload, { state: isHeld ? 'held' : 'waiting', due: clock.now() });
    books.count(route, 1, 0);
    books.countKey(sealer?.keyId ?? null, 1);
    return seq;
  }

  /** @param leaseMs `undefined`: its first delivery is still to begin. @returns its place */
  async function store(
    event: QueuedEvent,
    claim: AcceptedClaim | undefined,
    leaseMs: number | undefined,
  ): Promise<number> {
    if (writer.problem !== undefined) throw new Error(writer.problem);
    const kept = claim && keeping(claim);
    const payload = storePayload(event, sealer);
    let seq = -1;
    let isOurs = true;
    try {
      await writer.write({
        survives: 'power',
        apply: () => {
          // Another attempt at the same transaction may give it another number.
          unconfirmed.remove(seq);
          isOurs = kept?.write() !== false;
          if (!isOurs) return;
          seq = insert(event, payload);
          if (leaseMs !== undefined) lease.run(owner, clock.now() + leaseMs, seq);
          unconfirmed.add(seq);
        },
        undo: () => {
          if (!isOurs) return;
          const row = find.get(seq, event.id) as unknown as Removable | undefined;
          if (row !== undefined && remove(row)) watch.wake(row.route);
          kept?.takeBack();
          unconfirmed.remove(seq);
        },
      });
    } catch (error) {
      if (!(error instanceof UnconfirmedError)) unconfirmed.remove(seq);
      // Whoever delivers it already has the claim until that has ended.
      if (leaseMs === undefined) kept?.failed(error as Error);
      throw error;
    }
    unconfirmed.remove(seq);
    if (!isOurs) throw new Error(OVERRUN);
    kept?.done();
    return seq;
  }

  return {
    accept: async (event, claim) => void (await store(event, claim, undefined)),
    async acceptLeased(event, claim, leaseMs): Promise<Lease> {
      const seq = await store(event, claim, leaseMs);
      return { event, attempt: 1, step: 1, token: tokenOf({ seq, lease: 1 }) };
    },
  };
}

/**
 * Events of this process that are written, but not confirmed by the disk: these must not be delivered yet, since their
 * senders may still be told that they were not accepted.
 */
export class Unconfirmed {
  /** In ascending order, as they were written. */
  readonly #seqs = new Set<number>();

  /** Events from this one on may not be confirmed. */
  get first(): number {
    for (const seq of this.#seqs) return seq;
    return Number.MAX_SAFE_INTEGER;
  }

  add(seq: number): void {
    this.#seqs.add(seq);
  }

  remove(seq: number): void {
    this.#seqs.delete(seq);
  }
}
