import type { Pulse } from '../pulse.ts';
import { type Check, type Head, PASS, type Refusal } from '../types.ts';

const OVERLOADED: Refusal = Object.freeze({
  reason: 'gateway.overloaded',
  detail: 'limits.event_loop_delay',
});

/**
 * Turns new requests away while the event loop is behind: they have waited longer than those that are under way should
 * have to for them.
 */
export function loadCheck(pulse: Pick<Pulse, 'busyAfterMs'>): Check<Head> {
  return {
    name: 'load',
    examine: () => (performance.now() > pulse.busyAfterMs ? OVERLOADED : PASS),
  };
}
