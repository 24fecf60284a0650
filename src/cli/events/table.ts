import type { EventSummary } from '../../events.ts';
import { dueText, isoTime, spanText } from './time.ts';
import { visible } from './visible.ts';

interface Column {
  readonly name: string;
  readonly cell: (event: EventSummary, nowMs: number, wide: boolean) => string;
  /** May be cut where the terminal is too narrow. */
  readonly yields?: true;
}

const SEPARATOR = '  ';
const NARROWEST = 6;
/** From here on there is room for a whole point in time. */
const WIDE = 130;

const COLUMNS: readonly Column[] = [
  { name: 'id', cell: ({ id }) => visible(id) },
  { name: 'route', cell: ({ route }) => visible(route), yields: true },
  { name: 'state', cell: ({ state, forced }) => (forced === undefined ? state : `${state}, forced`) },
  { name: 'type', cell: ({ eventType }) => visible(eventType ?? '-'), yields: true },
  {
    name: 'received',
    cell: ({ receivedMs }, nowMs, wide) =>
      wide ? `${isoTime(receivedMs).slice(0, 19)}Z` : `${spanText(nowMs - receivedMs)} ago`,
  },
  { name: 'tries', cell: ({ attempts }) => String(attempts) },
  {
    name: 'last',
    cell: ({ status, reason = '-' }, _nowMs, wide) =>
      String(status ?? (wide ? reason : reason.replace('upstream.', ''))),
    yields: true,
  },
  { name: 'due', cell: ({ dueMs }, nowMs) => (dueMs === undefined ? '-' : dueText(dueMs, nowMs)) },
];

/**
 * Events as a table, a line each.
 * @param width of the terminal in characters: what does not fit is cut; `undefined`: there is none, nothing is cut
 */
export function eventTable(events: readonly EventSummary[], nowMs: number, width?: number): string {
  const wide = width === undefined || width >= WIDE;
  const rows = [
    COLUMNS.map(({ name }) => name),
    ...events.map((event) => COLUMNS.map(({ cell }) => cell(event, nowMs, wide))),
  ];
  const widths = COLUMNS.map((_, place) => Math.max(...rows.map((row) => (row[place] ?? '').length)));
  if (width !== undefined) narrow(widths, width);
  return rows.map((row) => line(row, widths)).join('\n');
}

/** Takes what is too much from the widest of the columns that yield, again and again. */
function narrow(widths: number[], width: number): void {
  const yielding = COLUMNS.flatMap(({ yields }, place) => (yields ? [place] : []));
  let over = widths.reduce((sum, one) => sum + one, SEPARATOR.length * (widths.length - 1)) - width;
  for (; over > 0; over -= 1) {
    const widest = yielding.reduce((a, b) => ((widths[b] ?? 0) > (widths[a] ?? 0) ? b : a));
    if ((widths[widest] ?? 0) <= NARROWEST) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

function line(row: readonly string[], widths: readonly number[]): string {
  const cells = row.map((cell, place) => {
    const most = widths[place] ?? 0;
    return cell.length > most ? `${cell.slice(0, most - 1)}…` : cell.padEnd(most);
  });
  return cells.join(SEPARATOR).trimEnd();
}
