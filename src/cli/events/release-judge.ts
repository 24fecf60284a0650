import { orderKeyReader } from '../../accept.ts';
import { signatureCheck } from '../../check/signature.ts';
import { settingsOf } from '../../clients.ts';
import { eventTypeReader } from '../../event-type.ts';
import type { EventDetail } from '../../events.ts';
import { messageOf } from '../../evidence.ts';
import { messageFilter } from '../../filter.ts';
import { laneOf } from '../../lane.ts';
import type { Forced, Release } from '../../quarantined.ts';
import type { RouteSettings } from '../../settings.ts';
import type { Refusal, Verdict } from '../../types.ts';
import { visible } from './visible.ts';

/** What one route says of its events in quarantine. */
export interface Judge {
  readonly rememberMs: number;
  /** How the event is released, or why it is not. */
  readonly examine: (event: EventDetail) => Release | string;
}

/**
 * Compiles what the routes, and their clients, say now; a route without a signature can judge nothing.
 * @param forced an operator vouches for those whose signature does not hold
 */
export function judges(
  routes: readonly RouteSettings[],
  forced: Forced | undefined,
): (lane: string) => Judge | undefined {
  const known = new Map(
    routes.flatMap(settingsOf).map((route) => [laneOf(route.name, route.client?.id), judgeOf(route, forced)]),
  );
  return (lane) => known.get(lane);
}

function judgeOf(route: RouteSettings, forced: Forced | undefined): Judge | undefined {
  const { signature, filter, sender, rememberMs } = route;
  if (signature === undefined) return undefined;
  const { examine } = signatureCheck(signature);
  const filtered = filter && messageFilter(filter, sender);
  const [eventTypeOf, orderKeyOf] = [eventTypeReader(sender), orderKeyReader(route)];
  return {
    rememberMs,
    examine(event) {
      const message = messageOf(event);
      // As of the time at which it came: its age since then is the operator's.
      const verdict = examine(message) as Verdict;
      const isProved = verdict.reason === undefined;
      if (!isProved && forced === undefined) return notHeld(event, verdict);
      const found = filtered?.(message.body) ?? 'wanted';
      if (found === 'unwanted') return 'the filter of its route does not want it, so it stays; discard it';
      if (found !== 'wanted') return `${found.reason}: ${found.detail}; it stays, discard it`;
      return {
        id: event.id,
        place: event.place,
        route: event.route,
        messageId: isProved ? verdict.messageId : event.messageId,
        eventType: eventTypeOf(message.body),
        orderKey: orderKeyOf(message),
        secret: isProved ? verdict.secret : undefined,
        forced: isProved ? undefined : forced,
      };
    },
  };
}

function notHeld({ id }: EventDetail, { reason, detail }: Refusal): string {
  const why = detail === undefined ? reason : `${reason}, ${detail}`;
  return `its signature does not hold (${why}); postern explain --id ${visible(id)} says more`;
}
