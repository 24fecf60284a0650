import type { DatabaseSync } from 'node:sqlite';
import type { QueuedEvent } from '../events.ts';
import type { StoredPayload } from './payload.ts';
import type { Sealer } from './seal.ts';

const COLUMNS =
  'id, route, client, message_id, event_type, state, due, finished, print, received, order_key, address, subject, fingerprint, secret, bytes, size, sha256, key';

/** What a new row says beyond its event. */
export interface NewRow {
  readonly state: 'waiting' | 'held' | 'quarantined';
  readonly due: number;
  readonly finished?: 0;
  readonly print?: string;
}

/** Writes an event and its payload, uncounted; belongs into a transaction. The number of its row is returned. */
export function eventInserter(
  database: DatabaseSync,
  sealer: Sealer | undefined,
): (event: QueuedEvent, payload: StoredPayload, row: NewRow) => number {
  const insertEvent = database.prepare(
    `INSERT INTO events (attempts, base, lease, ${COLUMNS}) VALUES (0, 0, 0, ${COLUMNS.replaceAll(/\w+/g, '?')})`,
  );
  const insertPayload = database.prepare('INSERT INTO payloads (seq, head, body) VALUES (?, ?, ?)');
  return (event, { head, body }, { state, due, finished, print }) => {
    const { certificate } = event;
    const { lastInsertRowid } = insertEvent.run(
      event.id,
      event.route,
      event.client,
      event.messageId ?? null,
      event.eventType ?? null,
      state,
      due,
      finished ?? null,
      print ?? null,
      event.receivedMs,
      event.orderKey ?? null,
      event.address,
      certificate?.subject ?? null,
      certificate?.fingerprint ?? null,
      event.secret ?? null,
      event.body.length,
      head.length + body.length,
      // The hash of a body that can be guessed tells the body.
      sealer === undefined ? event.bodySha256 : null,
      sealer?.keyId ?? null,
    );
    const seq = Number(lastInsertRowid);
    insertPayload.run(seq, head, body);
    return seq;
  };
}
