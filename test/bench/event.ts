import { createHmac, createSecretKey, randomUUID } from 'node:crypto';

/** What a sender must know to be let in. */
export interface Credentials {
  /** The signature secret in base64, without `whsec_`. */
  readonly secret: string;
  readonly bearer: string;
}

/** How the events of one load differ from each other beyond their ids. */
export interface EventShape {
  readonly bodyBytes: number;
  /** Over how many routes they are spread; 0: the one route of all gateways. */
  readonly routes: number;
  /** How many values of `x-bench-key` they take in turn; 0: no such field. */
  readonly keys: number;
}

/** The bench's ordinary event: a body of 554 bytes, a Codat event of ordinary length. */
export const ORDINARY: EventShape = { bodyBytes: 554, routes: 0, keys: 0 };

/** One thing that is wrong with a request, for the checks before the timing. */
export type Flaw = 'signature' | 'bearer' | 'timestamp';

/** Up to here head and body are one buffer: one write, one TLS record. Larger bodies are shared by all events. */
const JOINED_BYTES = 16_384;

/**
 * Makes whole HTTP requests, each carrying an event that never was before: its id, its time and its signature are its
 * own, the body's text is the same for all.
 * @returns the buffers to write, in order
 */
export function createSigner(
  { secret, bearer }: Credentials,
  shape: EventShape = ORDINARY,
): (flaw?: Flaw) => readonly Buffer[] {
  const key = createSecretKey(Buffer.from(secret, 'base64'));
  const body = makeBody(shape.bodyBytes);
  let made = 0;
  return (flaw) => {
    const id = `msg_${randomUUID()}`;
    const seconds = String(Math.floor(Date.now() / 1000) - (flaw === 'timestamp' ? 900 : 0));
    // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
    const digest = createHmac('sha256', key).update(`${id}.${seconds}.`).update(body).digest();
    if (flaw === 'signature') digest.writeUInt8(digest.readUInt8(0) ^ 1, 0);
    const token = flaw === 'bearer' ? `${bearer.slice(0, -1)}!` : bearer;
    const head = Buffer.from(
      `POST ${pathOf(shape, made)} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: postern-bench\r\nAccept: */*\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nAuthorization: Bearer ${token}\r\n` +
        `${keyField(shape, made)}webhook-id: ${id}\r\nwebhook-timestamp: ${seconds}\r\n` +
        `webhook-signature: v1,${digest.toString('base64')}\r\n\r\n`,
      'latin1',
    );
    made += 1;
    return body.length <= JOINED_BYTES ? [Buffer.concat([head, body])] : [head, body];
  };
}

/** The path of the route with this number, in a table of many. */
export function routePath(place: number): string {
  return `/codat/events/${place}`;
}

/** The value of `x-bench-key` with this number. */
export function keyValue(place: number): string {
  return `client-${place}`;
}

function pathOf({ routes }: EventShape, made: number): string {
  return routes === 0 ? '/codat/events' : routePath(made % routes);
}

function keyField({ keys }: EventShape, made: number): string {
  // A prime step, so that neighbours in time are no neighbours in the order in which the keys came.
  return keys === 0 ? '' : `x-bench-key: ${keyValue((made * 7919) % keys)}\r\n`;
}

function makeBody(bytes: number): Buffer {
  const head = `{"id":"${randomUUID()}","eventType":"read.completed","payload":{"referenceCompany":{"id":"bench","tags":{}},"note":"`;
  return Buffer.from(`${head}${'x'.repeat(bytes - head.length - 3)}"}}`, 'latin1');
}
