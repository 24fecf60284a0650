import { vouchedClient } from './clients.ts';
import { type Fields, fieldValue } from './fields.ts';
import type { RouteSettings } from './settings.ts';
import type { HeaderFamily } from './signature-settings.ts';
import type { Head } from './types.ts';

/** RFC 9110 section 7.6.1, and the fields whose meaning ends at this connection. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // RFC 7540 section 3.2.1: part of an upgrade that is never granted.
  'http2-settings',
]);

/**
 * Frameworks take these for the method, path or host that a proxy before them has read: what was judged here would be
 * something else than what is done there.
 */
const OVERRIDES = [
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-method',
  'x-original-url',
  'x-original-uri',
  'x-original-host',
  'x-rewrite-url',
  'x-envoy-original-path',
  'x-host',
  'x-http-host-override',
];

/** By which other proxies vouch for a sender's address or user; a service that once stood behind one may believe them. */
const VOUCHERS = [
  'x-real-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'cf-connecting-ipv6',
  'fastly-client-ip',
  'x-cluster-client-ip',
  'x-azure-clientip',
  'x-envoy-external-address',
  'x-originating-ip',
  'x-remote-ip',
  'x-remote-addr',
  'remote-user',
  'x-remote-user',
  'x-authenticated-user',
  'x-arr-clientcert',
];

/** Never from a sender: hop-by-hop, rewritten by the upstream client, or vouched for by the gateway alone. */
const REMOVED = new Set([
  ...HOP_BY_HOP,
  'host',
  'content-length',
  'expect',
  'forwarded',
  'x-request-id',
  'traceparent',
  'tracestate',
  ...OVERRIDES,
  ...VOUCHERS,
]);

/** Everything below these names is the gateway's word or nobody's: certificates and users as other proxies hand them on. */
const REMOVED_PREFIXES = [
  'x-forwarded-',
  'client-cert',
  'x-client-',
  'x-postern-',
  'ssl-client-',
  'x-ssl-',
  'x-amzn-mtls-',
  'x-auth-request-',
  'x-webauth-',
];

/** The fields that an upstream gets: the sender's own that may pass, what the configuration adds, what the gateway says. */
export interface UpstreamFields {
  /** Of a request that is delivered at once. */
  readonly whole: (head: Head) => string[];
  /** Of a request, without what the configuration adds: the same whenever it is delivered. */
  readonly received: (head: Head) => string[];
  /** Adds to received fields what the configuration says now; a field that it sets itself does not pass. */
  readonly completed: (received: Fields) => string[];
}

/** Compiled once per route. */
export function upstreamFields(route: RouteSettings): UpstreamFields {
  const consumed = new Set<string>();
  if (!route.passCredentials) {
    for (const credential of route.authorization) {
      consumed.add(credential.kind === 'header' ? credential.name : 'authorization');
    }
    // Whoever has seen it can send as the sender.
    if (route.signature?.scheme === 'token') consumed.add(route.signature.header);
  }
  const family = route.signature?.scheme === 'standard-webhooks' ? route.signature.family : undefined;
  const configured = new Set(route.upstream.headers.filter((_, place) => place % 2 === 0));
  const added = [...route.upstream.headers, 'x-forwarded-proto', 'https', 'x-postern-route', route.name];
  if (route.sender !== undefined) added.push('x-postern-sender', route.sender.name);
  const client = vouchedClient(route);
  const own = (head: Head): string[] => {
    const fields: string[] = [];
    const otherFamily = family === undefined ? undefined : familyToDrop(head.headers, family);
    for (let i = 0; i < head.headers.length; i += 2) {
      const name = head.headers[i] as string;
      if (isRemoved(name) || consumed.has(name) || configured.has(name)) continue;
      if (otherFamily !== undefined && SIGNATURE_FIELDS[otherFamily].has(name)) continue;
      fields.push(name, head.headers[i + 1] as string);
    }
    return fields;
  };
  const vouch = (head: Head, fields: string[]): string[] => {
    fields.push('x-forwarded-for', head.peer.address, 'x-forwarded-host', head.authority);
    fields.push('x-request-id', head.id, 'traceparent', traceparent(head.id));
    // Said of the request when it came: what is delivered later was not proved by what is configured then.
    if (client !== undefined) fields.push('x-postern-client', client);
    if (route.clientCertificateHeader) fields.push(...clientCertificate(head));
    return fields;
  };
  return {
    whole: (head) => {
      const fields = own(head);
      fields.push(...added);
      return vouch(head, fields);
    },
    received: (head) => vouch(head, own(head)),
    completed: (received) => {
      const fields: string[] = [];
      for (let i = 0; i < received.length; i += 2) {
        const name = received[i] as string;
        if (!configured.has(name)) fields.push(name, received[i + 1] as string);
      }
      fields.push(...added);
      return fields;
    },
  };
}

/** Fields of an upstream's answer that end at the gateway; `webhook-delivery` would steer a Svix sender. */
export function answerFields(fields: Fields, passDelivery: boolean, keepLength: boolean): string[] {
  const kept: string[] = [];
  const nominated = nominatedBy(fields);
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (HOP_BY_HOP.has(name) || name === 'x-request-id' || nominated?.has(name)) continue;
    if (name === 'webhook-delivery' && !passDelivery) continue;
    if (name === 'content-length' && !keepLength) continue;
    kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

function isRemoved(name: string): boolean {
  return REMOVED.has(name) || REMOVED_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** What an upstream's own Connection field names is hop-by-hop too (RFC 9110 section 7.6.1). */
function nominatedBy(fields: Fields): Set<string> | undefined {
  let names: Set<string> | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== 'connection') continue;
    names ??= new Set();
    for (const name of (fields[i + 1] as string).split(',')) names.add(name.trim().toLowerCase());
  }
  return names;
}

const SIGNATURE_FIELDS: Record<HeaderFamily, ReadonlySet<string>> = {
  webhook: new Set(['webhook-id', 'webhook-timestamp', 'webhook-signature']),
  svix: new Set(['svix-id', 'svix-timestamp', 'svix-signature']),
};

/** Both families were verified to be identical; the upstream gets the one its route is configured for. */
function familyToDrop(fields: Fields, family: HeaderFamily): HeaderFamily | undefined {
  if (fieldValue(fields, `${family}-id`) === undefined) return undefined;
  return family === 'webhook' ? 'svix' : 'webhook';
}

/** W3C Trace Context: a trace of our own, since a sender's could be anything; the request id is the trace id. */
function traceparent(id: string): string {
  const parent = id.slice(19, 23) + id.slice(24);
  return `00-${id.slice(0, 8)}${id.slice(9, 13)}${id.slice(14, 18)}${parent}-${parent}-01`;
}

/** RFC 9440 sections 2.2 and 2.3: the leaf, and what stands between it and the root. */
function clientCertificate({ peer }: Head): string[] {
  const der = peer.certificate?.der;
  if (der === undefined) return [];
  const fields = ['client-cert', byteSequence(der.leaf)];
  if (der.issuers.length > 0) fields.push('client-cert-chain', der.issuers.map(byteSequence).join(', '));
  return fields;
}

/** RFC 8941 section 3.3.5. */
function byteSequence(bytes: Buffer): string {
  return `:${bytes.toString('base64')}:`;
}
