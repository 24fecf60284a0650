import { parseAddress } from './addresses.ts';
import type { EventDetail } from './events.ts';
import { type Fields, fieldValue } from './fields.ts';
import type { Evidence } from './quarantined.ts';
import type { RouteSettings } from './settings.ts';
import type { Certificate, Message } from './types.ts';

/** Compiles what of a message is kept so that its signature can be judged later. */
export function evidenceMaker({
  authorization,
}: RouteSettings): (message: Message, certificate: Certificate) => Evidence {
  const credentials = new Set(
    authorization.map((one) => (one.kind === 'header' ? one.name : 'authorization')),
  );
  return ({ authority, headers }, { names, publicKey, notAfterMs }) => ({
    authority,
    headers: headers.filter((_, place) => !credentials.has(headers[place - (place % 2)] as string)),
    certificate: { names, publicKey, notAfterMs },
  });
}

/**
 * The message that an event was. Of one that was never in quarantine as far as it is kept: without the headers that no
 * upstream gets.
 */
export function messageOf(event: EventDetail): Message {
  const { id, method, path, query, body, receivedMs, address, evidence, certificate } = event;
  const authority = evidence?.authority ?? fieldValue(event.headers, 'x-forwarded-host') ?? '';
  const headers = evidence?.headers ?? ['host', authority, ...withoutOurs(event.headers)];
  return {
    id,
    method,
    path,
    query,
    authority,
    host: authority.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, ''),
    headers,
    contentLength: body.length,
    body,
    startedMs: 0,
    epochMs: receivedMs,
    peer: {
      address,
      addressValue: parseAddress(address) ?? 0,
      host: '',
      certificate: certificate && {
        ...certificate,
        names: evidence?.certificate.names ?? [],
        publicKey: evidence?.certificate.publicKey ?? '',
        notAfterMs: evidence?.certificate.notAfterMs ?? Number.POSITIVE_INFINITY,
        der: undefined,
      },
      certificateError: undefined,
    },
  };
}

/** What the gateway vouched for is no part of what was sent. */
function withoutOurs(headers: Fields): Fields {
  return headers.filter((_, place) => !OURS.test(headers[place - (place % 2)] as string));
}

const OURS = /^(?:x-forwarded-|x-request-id$|traceparent$|client-cert)/;
