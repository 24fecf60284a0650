import type { EventFilter, EventState } from '../events.ts';

/** A condition on rows of `events`, with its values. */
export interface Condition {
  readonly sql: string;
  readonly values: readonly (string | number)[];
}

/** What the operator is told of an event's state: a lease that is overrun counts for nothing. */
const STATES: Readonly<Record<EventState, string>> = {
  waiting: "state IN ('waiting', 'held', 'sealed') OR (state = 'delivering' AND until <= ?)",
  delivering: "state = 'delivering' AND until > ?",
  delivered: "state = 'delivered'",
  dead: "state = 'dead'",
  quarantined: "state = 'quarantined'",
};

/** @param nowMs by the state's clock */
export function conditionOf(filter: EventFilter, nowMs: number): Condition {
  const parts: string[] = ['TRUE'];
  const values: (string | number)[] = [];
  const add = (sql: string, ...more: (string | number)[]): void => {
    parts.push(`(${sql})`);
    values.push(...more);
  };
  const { route, states, eventType, id, fromMs, toMs, finishedFromMs } = filter;
  // What follows the `/` of a client's lane stands before `0` in the alphabet.
  if (route !== undefined) add('route = ? OR (route > ? AND route < ?)', route, `${route}/`, `${route}0`);
  if (states !== undefined) {
    const sql = states.map((state) => STATES[state]).join(' OR ') || 'FALSE';
    add(sql, ...[...sql.matchAll(/\?/g)].map(() => nowMs));
  }
  if (eventType?.endsWith('*')) add('substr(event_type, 1, ?) = ?', ...prefixOf(eventType));
  else if (eventType !== undefined) add('event_type = ?', eventType);
  if (id !== undefined) add('id = ? OR message_id = ?', id, id);
  if (fromMs !== undefined) add('received >= ?', fromMs);
  if (toMs !== undefined) add('received < ?', toMs);
  if (finishedFromMs !== undefined) add('finished >= ?', finishedFromMs);
  return { sql: parts.join(' AND '), values };
}

/** SQLite counts characters, where JavaScript counts halves of some. */
function prefixOf(eventType: string): [number, string] {
  const prefix = eventType.slice(0, -1);
  return [[...prefix].length, prefix];
}

const FINAL: readonly EventState[] = ['delivered', 'dead', 'quarantined'];

/** The state that the operator is told. */
export function stateOf(row: { state: string; until: number | null }, nowMs: number): EventState {
  if (row.state === 'delivering') return (row.until ?? 0) > nowMs ? 'delivering' : 'waiting';
  return FINAL.find((state) => state === row.state) ?? 'waiting';
}
