import type { Attempt, Disposal, Lease, Queue } from '../events.ts';
import { readToken } from './event-row.ts';
import type { QueueParts } from './queue.ts';

/** What is written of a lease outlives the process at once, and the machine's power a moment later. */
const WRITTEN = { survives: 'soon', isLasting: true } as const;

export function settler(parts: QueueParts): Pick<Queue, 'settle' | 'giveBack'> {
  const { database, writer, books, order, clock, sealer, watch } = parts;
  const MINE = "seq = ? AND id = ? AND lease = ? AND state = 'delivering'";
  const finish = database.prepare(`
    UPDATE events SET state = ?, finished = ?, place = ?, until = NULL, status = ?, reason = ?
    WHERE ${MINE} RETURNING size`);
  const postpone = database.prepare(`
    UPDATE events SET state = 'waiting', due = ?, until = NULL, status = ?, reason = ? WHERE ${MINE}`);
  const giveBack = database.prepare(`
    UPDATE events SET state = 'waiting', due = ?, until = NULL, attempts = attempts - 1 WHERE ${MINE}`);
  const insertAttempt = database.prepare(
    'INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );

  function dispose(lease: Lease, { status, reason }: Attempt, disposal: Disposal): boolean {
    const { seq, lease: times } = readToken(lease.token);
    const { id, route } = lease.event;
    const last = [status ?? null, reason ?? null] as const;
    if (disposal.state === 'waiting') {
      return postpone.run(disposal.dueMs + clock.skewMs, ...last, seq, id, times).changes === 1;
    }
    const row = finish.get(disposal.state, Date.now(), books.nextPlace(), ...last, seq, id, times);
    if (row === undefined) return false;
    const isDead = disposal.state === 'dead';
    books.count(route, -1, isDead ? 1 : 0);
    if (!isDead) books.addDelivered(row.size as number);
    return true;
  }

  function arrange({ event: { route, orderKey } }: Lease): boolean {
    return orderKey !== undefined && order.arrange(route, orderKey);
  }

  return {
    async settle(lease, attempt, disposal) {
      const { seq } = readToken(lease.token);
      const row = storedAttempt(lease.event.id, attempt);
      let isMine = false;
      let hasNext = false;
      // Not lasting: whoever delivered tries again, and has to hear whether the lease was still its own.
      await writer.write({
        survives: 'soon',
        apply: () => {
          isMine = dispose(lease, attempt, disposal);
          if (!isMine) return;
          insertAttempt.run(seq, ...row);
          hasNext = arrange(lease);
        },
      });
      if (hasNext) watch.wake(lease.event.route);
      return isMine;
    },
    async giveBack(lease, dueMs) {
      const { seq, lease: times } = readToken(lease.token);
      let hasNext = false;
      await writer.write({
        ...WRITTEN,
        apply: () => {
          const { changes } = giveBack.run(dueMs + clock.skewMs, seq, lease.event.id, times);
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
