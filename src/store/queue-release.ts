import type { Queue } from '../events.ts';
import { OVERRUN } from './claims.ts';
import type { QueueParts } from './queue.ts';

/**
 * Lets an event out of the quarantine, among those that wait, by its old place: where events have an order, before those
 * of its key that came after it. Whoever delivers notices by himself, here or in another process.
 */
export function releaser(parts: QueueParts): Queue['release'] {
  const { database, writer, books, order, clock, keeping, watch } = parts;
  const find = database.prepare(
    "SELECT seq FROM events WHERE seq = ? AND id = ? AND route = ? AND state = 'quarantined'",
  );
  const release = database.prepare(`
    UPDATE events SET state = ?, due = ?, finished = NULL, print = NULL, message_id = ?, event_type = ?, order_key = ?,
      secret = ?, forced = ?
    WHERE seq = ?`);

  return async (event, claim) => {
    if (writer.problem !== undefined) throw new Error(writer.problem);
    const { id, place, route, messageId, eventType, orderKey, secret, forced } = event;
    const kept = claim && keeping(claim);
    let isThere = false;
    let isOurs = true;
    try {
      await writer.write({
        survives: 'soon',
        apply: () => {
          isThere = find.get(Number(place), id, route) !== undefined;
          if (!isThere) return;
          isOurs = kept?.write() !== false;
          if (!isOurs) return;
          const isHeld = orderKey !== undefined && order.isTaken(route, orderKey);
          release.run(
            isHeld ? 'held' : 'waiting',
            clock.now(),
            messageId ?? null,
            eventType ?? null,
            orderKey ?? null,
            secret ?? null,
            forced === undefined ? null : JSON.stringify(forced),
            Number(place),
          );
          books.countQuarantined(route, -1);
          books.count(route, 1, 0);
          order.arrange(route, orderKey ?? null);
        },
      });
    } catch (error) {
      kept?.failed(error as Error);
      throw error;
    }
    if (!isThere) {
      kept?.failed(new Error('its event is gone from the quarantine'));
      return 'gone';
    }
    if (!isOurs) throw new Error(OVERRUN);
    kept?.done();
    watch.wake(route);
    return 'released';
  };
}
