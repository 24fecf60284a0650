import type { Pulse } from '../pulse.ts';
import { type Check, type Head, PASS, type Refusal } from '../types.ts';

const OVERLOADED: Refusal = Object.freeze({
  reason: 'gateway.overloaded',
  detail: 'limits.event_loop_delay',
});

/** Where a route's requests go: why one would not be taken now. */
export interface Destination {
  readonly full: Refusal | undefined;
}

/**
 * Turns new requests away while the event loop is behind: they have waited longer than those that are under way should
 * have to for them. And those for which there would be no place at the upstream, before anything is spent on them that
 * the others need.
 * @param destination `undefined`: whether there is a place is asked later
 */
export function loadCheck(pulse: Pick<Pulse, 'busyAfterMs'>, destination?: Destination): Check<Head> {
  return {
    name: 'load',
    examine: () => (performance.now() > pulse.busyAfterMs ? OVERLOADED : (destination?.full ?? PASS)),
  };
}

/** The second half of it, of messages whose senders have proved who they are. */
export function roomCheck(destination: Destination): Check<Head> {
  return { name: 'room', examine: () => destination.full ?? PASS };
}
