import type { SenderProfile } from '../sender-profile.ts';
import type { FilterSettings } from '../settings.ts';
import type { Path } from './document.ts';
import { list, type Partly, section } from './issues.ts';
import { mode } from './modes.ts';
import type { Report } from './problems.ts';
import type { RouteInput } from './schema.ts';
import { scalar } from './values.ts';

const eventPattern = scalar<string>({
  expected: 'an event type such as company.created, or a pattern such as invoices.write.*',
  pattern: '[^*\\s]*\\*?',
  read(value) {
    if (value === '' || /\s/.test(value)) return undefined;
    return /\*./.test(value) ? { wrong: 'a * stands at the end only' } : value;
  },
});

const tag = scalar<string>({
  expected: 'a tag such as region:us',
  pattern: '[^:]+:.+',
  read: (value) => (/^[^:]+:.+$/s.test(value) ? value : undefined),
});

/** Which events of a route are delivered; the others are acknowledged and go no further. */
export const filterSchema = section(
  {
    events: list(eventPattern, 'a list of event types such as ["invoices.write.*"]')
      .optional()
      .describe('The event types that are delivered; a * at the end stands for any rest.'),
    tags: list(tag, 'a list of tags such as ["region:us"]')
      .optional()
      .describe("Tags, any one of which the event's company must have."),
    mode: mode(),
  },
  'a mapping with events and tags',
);

/** The rules of a filter that no single key can break. */
export function checkFilter(
  { values, right }: Partly<RouteInput>,
  sender: SenderProfile | undefined,
  path: Path,
  report: Report,
): void {
  const { filter } = values;
  if (filter === undefined || !right('sender')) return;
  if (filter.events === undefined && filter.tags === undefined)
    report.add(
      [...path, 'filter'],
      'is empty, so it would let everything through; give events, tags or both',
    );
  for (const key of ['events', 'tags'] as const) {
    const places = key === 'events' ? sender?.event.type : sender?.event.tags;
    if (filter[key] === undefined || (places ?? []).length > 0) continue;
    const whose = sender === undefined ? 'the route has no sender' : `the sender ${sender.name} does not say`;
    report.add(
      [...path, 'filter', key],
      `${whose}, so where they stand in a message is not known; give event.${key === 'events' ? 'type' : 'tags'} in a sender profile`,
    );
  }
}

export function filterOf({ filter }: RouteInput): FilterSettings | undefined {
  return filter && { events: filter.events, tags: filter.tags };
}
