import type { Socket } from 'node:net';
import { addressText, parseAddress, withoutZoneAndMapping } from '../addresses.ts';
import type { Settings } from '../settings.ts';
import type { AddressValue, Handler } from '../types.ts';
import type { Handshakes } from './handshakes.ts';
import { awaitProxyHeader } from './proxied.ts';

/** What a new connection is judged by before a byte of TLS. */
export interface AcceptRules {
  readonly listen: Pick<Settings['listen'], 'proxyProtocol' | 'forwardedFor'>;
  readonly isTrustedProxy: (address: AddressValue) => boolean;
  /** Whether any route would let a sender with this address in. */
  readonly admits: (address: AddressValue) => boolean;
  /** How long a PROXY header may take. */
  readonly headerMs: number;
  readonly handshakes: Handshakes;
  readonly refused: Handler['refuseConnection'];
}

/** Hands a new connection to TLS under its sender's address, or closes it. */
export function acceptSocket(socket: Socket, rules: AcceptRules): void {
  const address = withoutZoneAndMapping(socket.remoteAddress ?? '');
  const value = parseAddress(address);
  if (value === undefined) {
    socket.destroy();
    return;
  }
  const { listen, headerMs, refused } = rules;
  const isTrusted = rules.isTrustedProxy(value);
  if (!listen.proxyProtocol) {
    // A load balancer's own address says nothing of whom its connection carries.
    begin(socket, rules, { address, value, isExempt: listen.forwardedFor && isTrusted });
    return;
  }
  if (!isTrusted) {
    refused({ reason: 'address.not_allowed', detail: 'not a trusted proxy' }, address);
    socket.destroy();
    return;
  }
  socket.on('error', () => socket.destroy());
  awaitProxyHeader(socket, headerMs, (found) => {
    if (found.state === 'refused') {
      refused({ reason: 'request.malformed', detail: found.detail }, address);
      socket.destroy();
      return;
    }
    // Speaking for itself, it looks whether the gateway lives.
    const named = found.address === undefined ? value : (parseAddress(found.address) ?? value);
    const isExempt = found.address === undefined;
    begin(socket, rules, { address: addressText(named), value: named, isExempt });
  });
}

function begin(
  socket: Socket,
  { admits, handshakes, refused }: AcceptRules,
  { address, value, isExempt }: { address: string; value: AddressValue; isExempt: boolean },
): void {
  if (isExempt || admits(value)) {
    handshakes.begin(socket, address);
    return;
  }
  refused({ reason: 'address.not_allowed' }, address);
  socket.destroy();
}
