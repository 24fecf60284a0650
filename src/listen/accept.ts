import type { Socket } from 'node:net';
import { addressText, parseAddress, withoutZoneAndMapping } from '../addresses.ts';
import type { Settings } from '../settings.ts';
import type { AddressValue, Handler, Refusal } from '../types.ts';
import type { Crowd, Given, Seat } from './crowd.ts';
import { awaitHello } from './hello.ts';
import { awaitProxyHeader } from './proxied.ts';
import type { HandshakeTurns } from './turns.ts';

/** A connection on its way to its handshake. */
export interface Newcomer {
  readonly socket: Socket;
  readonly seat: Seat;
}

/** What a new connection is judged by before a byte of TLS. */
export interface AcceptRules {
  readonly listen: Pick<Settings['listen'], 'proxyProtocol' | 'forwardedFor'>;
  readonly isTrustedProxy: (address: AddressValue) => boolean;
  /** Whether any route would let a sender with this address in. */
  readonly admits: (address: AddressValue) => boolean;
  readonly refused: Handler['refuseConnection'];
}

/** Who is told of connections that end before their first request. */
export interface AcceptNotes {
  /** There was no room for a connection of this address: who had to give way. */
  readonly full: (who: Given, address: string) => void;
  /** It was one too many of its address. */
  readonly overCap: (address: string) => void;
  /** It was closed for those behind it: too many wanted a handshake at once. */
  readonly droppedHandshake: (address: string) => void;
  /** Its handshake failed for another reason than its certificate: a scanner, a wrong protocol, a timeout. */
  readonly failedHandshake: (address: string, code: string) => void;
}

/** The parts of a listener that a new connection passes. */
export interface Doorway {
  readonly crowd: Crowd;
  readonly turns: HandshakeTurns;
  readonly rules: () => AcceptRules;
  readonly notes: AcceptNotes;
  readonly begin: (newcomer: Newcomer) => void;
}

/** Finds room for a new connection and leads it, under its sender's address, to its handshake; or closes it. */
export function acceptSocket(socket: Socket, door: Doorway): void {
  const { crowd } = door;
  const address = withoutZoneAndMapping(socket.remoteAddress ?? '');
  socket.on('error', () => socket.destroy());
  const value = parseAddress(address);
  const close = () => void socket.destroy();
  const seat = crowd.enter(address, close);
  if (value === undefined || seat === undefined) {
    if (seat !== undefined) crowd.leave(seat);
    close();
    return;
  }
  socket.on('close', () => {
    crowd.leave(seat);
    door.turns.wake();
  });
  const { listen, isTrustedProxy, refused } = door.rules();
  const isTrusted = isTrustedProxy(value);
  if (!listen.proxyProtocol) {
    // A load balancer's own address says nothing of whom its connection carries.
    lead({ socket, seat }, door, { value, isExempt: listen.forwardedFor && isTrusted });
    return;
  }
  const refuse = (refusal: Refusal): void => {
    refused(refusal, address);
    crowd.expel(seat);
  };
  if (!isTrusted) {
    refuse({ reason: 'address.not_allowed', detail: 'not a trusted proxy' });
    return;
  }
  seat.late = () => refuse({ reason: 'request.malformed', detail: 'PROXY header: too late' });
  awaitProxyHeader(socket, (found) => {
    if (found.state === 'malformed') {
      refuse({ reason: 'request.malformed', detail: `PROXY header: ${found.detail}` });
      return;
    }
    // Speaking for itself, it looks whether the gateway lives.
    const named = found.address === undefined ? value : (parseAddress(found.address) ?? value);
    const isExempt = found.address === undefined;
    seat.address = addressText(named);
    lead({ socket, seat }, door, { value: named, isExempt });
  });
}

/** @param isExempt a load balancer's own connection, which is neither refused by its address nor counted for it */
function lead(
  newcomer: Newcomer,
  { crowd, turns, rules, notes, begin }: Doorway,
  { value, isExempt }: { value: AddressValue; isExempt: boolean },
): void {
  const { socket, seat } = newcomer;
  const { address } = seat;
  const { admits, refused } = rules();
  if (!isExempt && !admits(value)) {
    refused({ reason: 'address.not_allowed' }, address);
    crowd.expel(seat);
    return;
  }
  if (!isExempt && !crowd.isWithinCap(seat, value)) {
    notes.overCap(address);
    crowd.expel(seat);
    return;
  }
  seat.late = () => {
    notes.failedHandshake(address, 'ERR_TLS_HANDSHAKE_TIMEOUT');
    crowd.expel(seat);
  };
  socket.on('close', () => {
    const isUnbegun = seat.stage === 'arriving' || seat.stage === 'waiting';
    if (isUnbegun && !seat.isExpelled) notes.failedHandshake(address, 'ECONNRESET');
  });
  seat.begin = () => begin(newcomer);
  awaitHello(socket, () => turns.add(seat));
}
