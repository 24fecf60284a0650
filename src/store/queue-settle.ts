import type { Attempt, Disposal, Lease, Queue } from '../events.ts';
import { readToken } from './event-row.ts';
import type { QueueParts } from './queue.ts';

/** What is written of a lease outlives the process at once, and the machine's power a moment later. */
const WRITTEN = { survives: 'soon', isLasting: true } as const;

export function settler(parts: QueueParts): Pick<Queue, 'settle' | 'giveBack'> {
  const { database, writer, books, order, clock, sealer, watch } = parts;
  const MINE = "seq = ? AND id = ? AND lease = ? AND state = 'delivering'";
  const finish = database.prepare(`
    UPDATE events SET state = ?, due = ?, finished = ?, finish_no = ?, until = NULL, status = ?, reason = ?
    WHERE ${MINE} RETURNING size, key`);
  const postpone = database.prepare(`
    UPDATE events SET state = 'waiting', due = ?, until = NULL, status = ?, reason = ? WHERE ${MINE}`);
  const giveBack = database.prepare(`
    UPDATE events SET state = 'waiting', due = ?, until = NULL, attempts = attempts - 1 WHERE ${MINE}`);
  const insertAttempt = database.prepare(
    'INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );

  /** What came of deliveries, while it cannot be written down. */
  const unwritten = new Map<Lease['token'], { isMine: boolean; hasNext: boolean }>();

  function dispose(lease: Lease, { status, reason }: Attempt, disposal: Disposal): boolean {
    const { seq, lease: number } = readToken(lease.token);
    const { id, route } = lease.event;
    const last = [status ?? null, reason ?? null] as const;
    if (disposal.state === 'waiting') {
      return postpone.run(disposal.dueMs + clock.skewMs, ...last, seq, id, number).changes === 1;
    }
    const isDead = disposal.state === 'dead';
    const times = [clock.now(), Date.now(), books.nextFinishNo()] as const;
    const row = finish.get(disposal.state, ...times, ...last, seq, id, number);
    if (row === undefined) return false;
    books.count(route, -1, isDead ? 1 : 0);
    if (isDead) return true;
    books.addDelivered(row.size as number);
    books.countKey(row.key as string | null, -1);
    return true;
  }

  function arrange({ event: { route, orderKey } }: Lease): boolean {
    return orderKey !== undefined && order.arrange(route, orderKey);
  }

  return {
    async settle(lease, attempt, disposal) {
      const { route, id } = lease.event;
      const earlier = unwritten.get(lease.token);
      // Tried again by its worker: what could not be written is at the head of the line already.
      if (earlier !== undefined) await writer.write({ survives: 'soon', apply: () => undefined });
      const outcome = earlier ?? { isMine: false, hasNext: false };
      if (earlier === undefined) {
        const { seq } = readToken(lease.token);
        const row = storedAttempt(id, attempt);
        unwritten.set(lease.token, outcome);
        await writer.write({
          ...WRITTEN,
          apply: () => {
            outcome.isMine = dispose(lease, attempt, disposal);
            if (outcome.isMine) insertAttempt.run(seq, ...row);
            outcome.hasNext = outcome.isMine && arrange(lease);
          },
        });
      }
      unwritten.delete(lease.token);
      if (outcome.hasNext) watch.wake(route);
      return outcome.isMine;
    },
    async giveBack(lease, dueMs) {
      const { seq, lease: number } = readToken(lease.token);
      let hasNext = false;
      await writer.write({
        ...WRITTEN,
        apply: () => {
          const { changes } = giveBack.run(dueMs + clock.skewMs, seq, lease.event.id, number);
          hasNext = changes === 1 && arrange(lease);
        },
      });
      if (hasNext) watch.wake(lease.event.route);
    },
  };

  function storedAttempt(id: string, attempt: Attempt) {
    const { number, startedMs, durationMs, target, status, reason, detail, answer } = attempt;
    const seal = (text: Buffer, what: string): Buffer =>
      sealer === undefined ? text : sealer.seal(text, `${id} ${what} ${number}`);
    return [
      number,
      startedMs,
      durationMs,
      target ?? null,
      status ?? null,
      reason ?? null,
      sealer?.keyId ?? null,
      detail === undefined ? null : seal(Buffer.from(detail), 'detail'),
      seal(answer, 'answer'),
    ] as const;
  }
}
