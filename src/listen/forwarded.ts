import { addressText, parseAddress } from '../addresses.ts';
import type { Fields } from '../fields.ts';
import type { AddressValue, Peer, Refusal } from '../types.ts';

/** The peer of one request: as it is, or as a trusted proxy says it is. */
export type ResolvePeer = (peer: Peer, headers: Fields) => Peer | Refusal;

const MALFORMED: Refusal = Object.freeze({ reason: 'request.malformed', detail: 'X-Forwarded-For' });

/**
 * Believes X-Forwarded-For of trusted proxies, from the right: each address was written by the one after it, and the
 * first that no trusted proxy has is the sender's; all before it are the sender's own words. What cannot be read is
 * refused, since an allowlist would be asked about nobody.
 */
export function forwardedPeer(isTrusted: (address: AddressValue) => boolean): ResolvePeer {
  return (peer, headers) => {
    if (!isTrusted(peer.addressValue)) return peer;
    const entries = forwardedFor(headers);
    let { addressValue } = peer;
    for (const entry of entries.toReversed()) {
      const value = parseAddress(entry);
      if (value === undefined || entry.includes('%')) return MALFORMED;
      addressValue = value;
      if (!isTrusted(value)) break;
    }
    return { ...peer, address: addressText(addressValue), addressValue };
  };
}

/** The entries of all X-Forwarded-For fields in order; a port behind an address is dropped. */
function forwardedFor(headers: Fields): string[] {
  const entries: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== 'x-forwarded-for') continue;
    for (const entry of (headers[i + 1] as string).split(',')) entries.push(withoutPort(entry.trim()));
  }
  return entries;
}

/** `192.0.2.1:4711` and `[2001:db8::1]:4711`, as some load balancers write them. */
function withoutPort(entry: string): string {
  const [, four, six] =
    /^(?:(\d+\.\d+\.\d+\.\d+):\d{1,5}|\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?)$/.exec(entry) ?? [];
  return four ?? six ?? entry;
}
