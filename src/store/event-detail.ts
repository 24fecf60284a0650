import type { DatabaseSync } from 'node:sqlite';
import type { Attempt, EventDetail, EventSummary } from '../events.ts';
import type { Reason } from '../reasons.ts';
import { stateOf } from './event-filter.ts';
import { certificateOf, type EventRow, forcedOf } from './event-row.ts';
import type { Opener, Payload, StoredPayload } from './payload.ts';

interface AttemptRow {
  readonly number: number;
  readonly started: number;
  readonly duration: number;
  readonly target: string | null;
  readonly status: number | null;
  readonly reason: string | null;
  readonly key: string | null;
  readonly detail: Uint8Array | null;
  readonly answer: Uint8Array;
}

/** Makes of rows what the operator is shown. What cannot be decrypted is empty there, and `unreadable` says why. */
export interface Reader {
  summary(row: EventRow): EventSummary;
  detail(row: EventRow): EventDetail;
}

const NOTHING: Payload = {
  method: '',
  path: '',
  query: '',
  headers: [],
  bodySha256: '',
  body: Buffer.alloc(0),
};

/** @param clock what the state's clock says, and by how much that is ahead of the wall clock */
export function reader(
  database: DatabaseSync,
  opener: Opener,
  clock: { now(): number; readonly skewMs: number },
): Reader {
  const findHead = database.prepare('SELECT head FROM payloads WHERE seq = ?');
  const findPayload = database.prepare('SELECT head, body FROM payloads WHERE seq = ?');
  const findAttempts = database.prepare('SELECT * FROM attempts WHERE event = ? ORDER BY number');

  function summary(row: EventRow): EventSummary {
    const state = stateOf(row, clock.now());
    const isQuarantined = state === 'quarantined';
    const sealed = row.sha256 === null ? tryTo(() => headHashOf(row), '') : { value: row.sha256 };
    return {
      id: row.id,
      place: String(row.seq),
      route: row.route,
      client: row.client,
      messageId: row.message_id ?? undefined,
      eventType: row.event_type ?? undefined,
      state,
      receivedMs: row.received,
      bytes: row.bytes,
      attempts: row.attempts,
      dueMs: state === 'waiting' ? row.due - clock.skewMs : undefined,
      expiresMs: isQuarantined ? row.due - clock.skewMs : undefined,
      forced: forcedOf(row),
      finishedMs: isQuarantined ? undefined : (row.finished ?? undefined),
      status: row.status ?? undefined,
      reason: (row.reason as Reason | null) ?? undefined,
      bodySha256: sealed.value,
      address: row.address,
      certificate: certificateOf(row),
      secret: row.secret ?? undefined,
      ...(sealed.unreadable !== undefined && { unreadable: sealed.unreadable }),
    };
  }

  function headHashOf({ id, key, seq }: EventRow): string {
    return opener.head(id, key, findHead.get(seq)?.head as Uint8Array).bodySha256;
  }

  function attemptOf(id: string, row: AttemptRow): Attempt {
    const piece = (what: string, bytes: Uint8Array): Buffer =>
      opener.piece(`${id} ${what} ${row.number}`, row.key, bytes);
    const { detail } = row;
    const said = tryTo(() => (detail === null ? undefined : piece('detail', detail).toString()), undefined);
    return {
      number: row.number,
      startedMs: row.started,
      durationMs: row.duration,
      target: row.target ?? undefined,
      status: row.status ?? undefined,
      reason: (row.reason as Reason | null) ?? undefined,
      detail: said.unreadable ?? said.value,
      answer: tryTo(() => piece('answer', row.answer), Buffer.alloc(0)).value,
    };
  }

  return {
    summary,
    detail(row) {
      const { id, key, seq } = row;
      const stored = findPayload.get(seq) as unknown as StoredPayload;
      const { value: payload, unreadable } = tryTo(() => opener.payload(id, key, stored), NOTHING);
      return {
        ...summary(row),
        ...payload,
        log: (findAttempts.all(seq) as unknown as AttemptRow[]).map((attempt) => attemptOf(id, attempt)),
        ...(unreadable !== undefined && { unreadable }),
      };
    },
  };
}

function tryTo<T>(open: () => T, otherwise: T): { readonly value: T; readonly unreadable?: string } {
  try {
    return { value: open() };
  } catch (error) {
    return { value: otherwise, unreadable: (error as Error).message };
  }
}
