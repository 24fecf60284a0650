import { type Arrival, pairs, valuesOf } from './recorder.ts';
import { INTERNAL } from './world.ts';

/** A request as the upstream must see it, less what the gateway sets by itself. */
export interface Handed {
  readonly route: string;
  readonly method: string;
  readonly target: string;
  /** The sender's Host field, as it was sent. */
  readonly host: string;
  /** The sender's fields that go on: name, value, name, value …; names in lower case. */
  readonly fields: readonly string[];
  readonly body: string;
}

/** Who sent it, and where it went. */
export interface Journey {
  readonly from: string;
  /** Of the upstream. */
  readonly authority: string;
  /** The `x-request-id` of the answer that the sender got. */
  readonly id: string;
  /** The sender's certificate in DER. */
  readonly certificate: Buffer;
}

const SENDERS: Readonly<Record<string, string>> = { signed: 'codat', both: 'codat', svix: 'svix' };

/** Every byte that the upstream must get. */
export function bytesFor({ route, method, target, host, fields, body }: Handed, journey: Journey): string {
  const { from, authority, id, certificate } = journey;
  const hex = id.replaceAll('-', '');
  const carries = ['POST', 'PUT', 'PATCH'].includes(method);
  // A body that the upstream does not read must not become its next request; after HEAD the client ends its connection.
  const isLast = method === 'HEAD' || (body !== '' && !carries);
  const lines = [
    ['host', authority],
    ['connection', isLast ? 'close' : 'keep-alive'],
    ...pairs(fields),
    ...(route === 'keyed' ? [[INTERNAL, 'ours']] : []),
    ['x-forwarded-proto', 'https'],
    ['x-postern-route', route],
    ...(route in SENDERS ? [['x-postern-sender', SENDERS[route]]] : []),
    ['x-forwarded-for', from],
    ['x-forwarded-host', host],
    ['x-request-id', id],
    ['traceparent', `00-${hex}-${hex.slice(16)}-01`],
    ...(route === 'certified' ? [['client-cert', `:${certificate.toString('base64')}:`]] : []),
    ...(body !== '' || carries ? [['content-length', body.length]] : []),
  ];
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `${method} ${target} HTTP/1.1\r\n${head}\r\n${body}`;
}

/** What the gateway alone may say, or nobody; the upstream's own fields are its client's. */
const OURS =
  /^(?:host|connection|content-length|x-forwarded-.*|x-postern-.*|client-cert.*|x-request-id|traceparent)$/;

/** The sender's part of what arrived. Whether the rest is as it must be is for `bytesFor` to say. */
export function handedOf({ method, target, fields, body }: Arrival): Handed {
  const route = valuesOf(fields, 'x-postern-route').join();
  const configured = route === 'keyed' ? INTERNAL : undefined;
  const kept = pairs(fields).filter(([name = '']) => !OURS.test(name) && name !== configured);
  return {
    route,
    method,
    target,
    host: valuesOf(fields, 'x-forwarded-host').join(),
    fields: kept.flat(),
    body,
  };
}
