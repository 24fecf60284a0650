import type { EventFilter, EventOrder, EventSummary, Events } from '../../events.ts';

const PAGE = 500;

/** All events that match, read a page at a time. */
export async function* eachEvent(
  events: Events,
  filter: EventFilter,
  order: EventOrder = 'received',
): AsyncGenerator<EventSummary, void, void> {
  let after: string | undefined;
  do {
    const page = await events.list(filter, PAGE, after, order);
    yield* page.events;
    after = page.next;
  } while (after !== undefined);
}
