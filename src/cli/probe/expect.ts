import type { Came } from './wire.ts';

/** How what came is to be taken. `asked`: the receiver asked to come again later, which says nothing of the case. */
export type Verdict = 'right' | 'doubtful' | 'miss' | 'asked';

/** A status, a class of them, or a connection that was closed without an answer, by an alert or without a word. */
export type Kind = number | '2xx' | '3xx' | '4xx' | '5xx' | 'closed';

/** What is right to expect of any receiver, and what is allowed though it were better not so. */
export interface Expectation {
  readonly words: string;
  readonly right: readonly Kind[];
  readonly doubtful: readonly Kind[];
}

/** The sender counts it as delivered. */
export const ACCEPTED: Expectation = { words: 'accepted (2xx)', right: ['2xx'], doubtful: [] };

/** Anything that the sender does not take for a delivery, said within its time. */
export const REFUSED: Expectation = {
  words: 'refused (no 2xx, or closed)',
  right: ['3xx', '4xx', '5xx', 'closed'],
  doubtful: [],
};

/** No document forbids to accept it, but a careful receiver does not. */
export const BETTER_REFUSED: Expectation = {
  words: 'better refused',
  right: ['3xx', '4xx', '5xx', 'closed'],
  doubtful: ['2xx'],
};

/** The handshake's own no, or an answer's. */
export const NOT_LET_IN: Expectation = {
  words: 'TLS alert, closed, or 4xx',
  right: ['closed', '4xx'],
  doubtful: ['3xx', '5xx'],
};

export const BETTER_NOT_LET_IN: Expectation = {
  words: 'better not let in',
  right: ['closed', '4xx'],
  doubtful: ['2xx', '3xx', '5xx'],
};

/** Accepted or refused, as the receiver pleases, but not by falling over. */
export const ANSWERED: Expectation = {
  words: 'either (2xx or 4xx)',
  right: ['2xx', '3xx', '4xx'],
  doubtful: ['5xx', 'closed'],
};

/** What one outcome is, measured by what is expected. */
export function judge(came: Came, { right, doubtful }: Expectation): Verdict {
  const kinds = kindsOf(came);
  if (kinds.some((kind) => right.includes(kind)) && !asksForLater(came)) return 'right';
  if (asksForLater(came)) return 'asked';
  return kinds.some((kind) => doubtful.includes(kind)) ? 'doubtful' : 'miss';
}

/** Whether the receiver turned the request away for its number and not for what it is. */
export function asksForLater(came: Came): boolean {
  if (came.kind !== 'answer') return false;
  return came.status === 429 || (came.status === 503 && came.retryAfter !== undefined);
}

/** The worst of several. */
export function worst(verdicts: readonly Verdict[]): Verdict {
  const order: readonly Verdict[] = ['miss', 'asked', 'doubtful'];
  return order.find((verdict) => verdicts.includes(verdict)) ?? 'right';
}

/** Silence, garbage and nobody there are of no kind: they are never what was expected. */
function kindsOf(came: Came): readonly Kind[] {
  if (came.kind === 'alert' || came.kind === 'closed') return ['closed'];
  if (came.kind !== 'answer') return [];
  const classes = { 2: '2xx', 3: '3xx', 4: '4xx', 5: '5xx' } as const;
  const statusClass = classes[Math.floor(came.status / 100) as 2 | 3 | 4 | 5];
  return statusClass === undefined ? [came.status] : [came.status, statusClass];
}
