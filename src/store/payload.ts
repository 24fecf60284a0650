import type { QueuedEvent } from '../events.ts';
import type { Fields } from '../fields.ts';
import type { Evidence } from '../quarantined.ts';
import { MissingKeyError, type Sealer } from './seal.ts';

/** What of an event is kept apart from its state, as it is stored. */
export interface StoredPayload {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

/** What stands in a payload's head, and in its body. */
export interface Payload {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Fields;
  readonly bodySha256: string;
  readonly evidence?: Evidence | undefined;
  readonly body: Buffer;
}

type Head = Omit<Payload, 'body'>;

/** Writes down what an event carries, encrypted where there is a key. */
export function storePayload(event: QueuedEvent, sealer: Sealer | undefined): StoredPayload {
  const { id, method, path, query, headers, bodySha256, evidence, body } = event;
  const facts: Head = { method, path, query, headers, bodySha256, evidence };
  const head = Buffer.from(JSON.stringify(facts));
  if (sealer === undefined) return { head, body };
  return { head: sealer.seal(head, `${id} head`), body: sealer.seal(body, `${id} body`) };
}

/** Opens pieces of events, whether they are encrypted or were stored before encryption was switched on. */
export interface Opener {
  /** Whether what is stored with this key can be opened; `null`: it is not encrypted. */
  hasKey(key: string | null): boolean;
  head(id: string, key: string | null, head: Uint8Array): Head;
  piece(what: string, key: string | null, piece: Uint8Array): Buffer;
  payload(id: string, key: string | null, stored: StoredPayload): Payload;
}

/** @throws (each of its functions but `hasKey`) as `Sealer.open` does */
export function opener(sealer: Sealer | undefined): Opener {
  const piece = (what: string, key: string | null, stored: Uint8Array): Buffer => {
    const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
    if (key === null) return bytes;
    if (sealer === undefined) throw new MissingKeyError(key);
    return sealer.open(bytes, what);
  };
  const head = (id: string, key: string | null, stored: Uint8Array): Head =>
    JSON.parse(piece(`${id} head`, key, stored).toString()) as Head;
  return {
    hasKey: (key) => key === null || sealer?.hasKey(key) === true,
    head,
    piece,
    payload: (id, key, stored) => ({
      ...head(id, key, stored.head),
      body: piece(`${id} body`, key, stored.body),
    }),
  };
}
