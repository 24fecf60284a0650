import { createHmac, createSecretKey, type KeyObject, randomUUID } from 'node:crypto';

/** The request body's size in bytes: a Codat event of ordinary length. */
const BODY_BYTES = 554;

/** What a sender must know to be let in. */
export interface Credentials {
  /** The signature secret in base64, without `whsec_`. */
  readonly secret: string;
  readonly bearer: string;
}

/** One thing that is wrong with a request, for the checks before the timing. */
export type Flaw = 'signature' | 'bearer' | 'timestamp';

/** Makes whole HTTP requests, head and body in one buffer, each carrying an event that never was before. */
export function createSigner(credentials: Credentials): (flaw?: Flaw) => Buffer {
  const key = createSecretKey(Buffer.from(credentials.secret, 'base64'));
  return (flaw) => serialise(credentials, key, flaw);
}

function serialise(credentials: Credentials, key: KeyObject, flaw: Flaw | undefined): Buffer {
  const id = `msg_${randomUUID()}`;
  const seconds = String(Math.floor(Date.now() / 1000) - (flaw === 'timestamp' ? 900 : 0));
  const body = makeBody(id);
  // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
  const digest = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest();
  if (flaw === 'signature') digest.writeUInt8(digest.readUInt8(0) ^ 1, 0);
  const bearer = flaw === 'bearer' ? `${credentials.bearer.slice(0, -1)}!` : credentials.bearer;
  return Buffer.from(
    `POST /codat/events HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: postern-bench\r\nAccept: */*\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nAuthorization: Bearer ${bearer}\r\n` +
      `webhook-id: ${id}\r\nwebhook-timestamp: ${seconds}\r\n` +
      `webhook-signature: v1,${digest.toString('base64')}\r\n\r\n${body}`,
    'latin1',
  );
}

function makeBody(id: string): string {
  const head = `{"id":"${id}","eventType":"read.completed","payload":{"referenceCompany":{"id":"${id.slice(4)}","tags":{}},"note":"`;
  return `${head}${'x'.repeat(BODY_BYTES - head.length - 3)}"}}`;
}
