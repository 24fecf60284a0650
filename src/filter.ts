import { type KeyPath, memberAt, parseMessage, valueAt } from './message.ts';
import type { SenderProfile } from './sender-profile.ts';
import type { FilterSettings } from './settings.ts';
import type { Refusal } from './types.ts';

/** What a route's filter says of a message: it is wanted, it is not, or it cannot be told. */
export type Filtered = 'wanted' | 'unwanted' | Refusal;

/** A company's tag: its name, and the value it must have. */
type Tag = readonly [name: string, value: string];

/**
 * Compiles a route's filter. A message is wanted if its type matches any of the patterns, and any one of its company's
 * tags is among those listed: the rule of Codat's own consumers (documentation, "Filter webhooks by company tags").
 */
export function messageFilter(
  { events, tags }: FilterSettings,
  sender: SenderProfile | undefined,
): (body: Buffer) => Filtered {
  const typeAt = sender?.event.type ?? [];
  const tagsAt = sender?.event.tags ?? [];
  const isType = events && typeMatcher(events);
  const wanted = tags?.map(readTag);
  return (body) => {
    const message = parseMessage(body);
    if (message instanceof Error) return { reason: 'filter.malformed', detail: message.message };
    if (isType !== undefined && !isType(memberAt(message, typeAt))) return 'unwanted';
    return wanted === undefined || hasTag(message, tagsAt, wanted) ? 'wanted' : 'unwanted';
  };
}

/** Exact names, and prefixes that end in `*`. */
function typeMatcher(patterns: readonly string[]): (type: string | undefined) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.endsWith('*')));
  const prefixes = patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1));
  return (type) =>
    type !== undefined && (exact.has(type) || prefixes.some((prefix) => type.startsWith(prefix)));
}

function readTag(tag: string): Tag {
  const colon = tag.indexOf(':');
  return [tag.slice(0, colon), tag.slice(colon + 1)];
}

function hasTag(message: unknown, places: readonly KeyPath[], wanted: readonly Tag[]): boolean {
  const tags = places.map((place) => valueAt(message, place)).find((found) => found !== undefined);
  if (typeof tags !== 'object' || tags === null) return false;
  return wanted.some(
    ([name, value]) => Object.hasOwn(tags, name) && textOf((tags as Record<string, unknown>)[name]) === value,
  );
}

/** What is nested has no text: to ask an object for one would run what the message says, or fail on it. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}
