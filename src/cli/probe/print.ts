import type { SenderProfile } from '../../sender-profile.ts';
import { formatDuration } from '../send/words.ts';
import { whereToFind } from './documents.ts';
import type { Result } from './run.ts';
import type { Came } from './wire.ts';

const MARKS = {
  right: 'ok',
  doubtful: 'doubt',
  miss: 'MISS',
  'not judged': 'NOT JUDGED',
  'left out': 'left out',
} as const;
const WIDTHS = [10, 24, 40];
const INDENT = ' '.repeat(12);
const LINE_WIDTH = 120;

/** The table's first two lines. */
export function tableHead(): string {
  return `${columns(['', 'case', 'what came', 'what is right'])}\n${'-'.repeat(LINE_WIDTH)}`;
}

/** One case as a row of the table, and below it what was sent and why so much is right to expect. */
export function tableRow({ case: each, came, verdict, note }: Result): string {
  if (verdict === 'left out') return columns([MARKS[verdict], each.name, note ?? '']);
  const row = columns([MARKS[verdict], each.name, cameInWords(came), each.expected.words]);
  const because = [each.why, ...(each.source === undefined ? [] : [`[${each.source}]`])];
  const noted = note === undefined ? [] : [`${sentence(note)}`];
  const text = [sentence(each.sent), ...noted, ...because];
  return [row, ...wrap(text.join(' '))].join('\n');
}

/** One case as a flat object of data; fields that do not apply are left out. */
export function resultJson({ case: each, came, verdict, note }: Result): object {
  return {
    case: each.name,
    verdict: verdict.replace(' ', '_'),
    sent: each.sent,
    came: came.map((one) => ({
      kind: one.kind,
      status: one.kind === 'answer' ? one.status : undefined,
      why: one.kind === 'answer' ? undefined : one.why,
      ms: Math.round(one.ms * 10) / 10,
    })),
    expected: each.expected.words,
    why: each.why,
    source: each.source,
    note,
  };
}

/** Where the documents are to be found that were named. */
export function footnotes(results: readonly Result[], profile: SenderProfile): string[] {
  const sources = results
    .filter(({ verdict }) => verdict !== 'left out')
    .flatMap(({ case: each }) => each.source ?? []);
  return whereToFind(sources, profile);
}

/** A clock that is so far off makes a good event a stale one. */
const CLOCK_MS = 60_000;

/** Where the good event was not accepted: how far the receiver's clock is from this one, if that can be why. */
function clockHint([first]: readonly Result[], nowMs: number): string {
  const [came] = first?.came ?? [];
  const aheadMs = came?.kind === 'answer' && came.date ? Date.parse(came.date) - nowMs : 0;
  if (!(Math.abs(aheadMs) > CLOCK_MS)) return '';
  const direction = aheadMs > 0 ? 'ahead of' : 'behind';
  return ` By its Date the receiver's clock is ${formatDuration(Math.abs(aheadMs))} ${direction} this one.`;
}

/** What the cases came to. */
export function summary(results: readonly Result[], planned: number, ms: number): string {
  const count = (wanted: Result['verdict']): number =>
    results.filter(({ verdict }) => verdict === wanted).length;
  const parts = [
    `${count('right')} as is right`,
    `${count('doubtful')} doubtful`,
    `${count('miss')} missed`,
    `${count('not judged')} not judged`,
    `${count('left out')} left out`,
  ];
  const rest = planned - results.length;
  const untried =
    rest === 0
      ? ''
      : `\nThe good event was not accepted, so ${rest} further cases were not tried: whatever is refused now would prove nothing.${clockHint(results, Date.now())}`;
  return `${results.length} cases in ${formatDuration(ms)}: ${parts.join(', ')}.${untried}`;
}

/** `200`, `400 (5 times), 404 (2 times)`, `TLS alert: certificate required`, `no answer in 5 s`. */
export function cameInWords(came: readonly Came[]): string {
  const texts = came.map(oneInWords);
  if (texts.length < 3) return texts.join(', ') || '-';
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].map(([text, count]) => (count === 1 ? text : `${text} (${count} times)`)).join(', ');
}

function oneInWords(came: Came): string {
  switch (came.kind) {
    case 'answer':
      return String(came.status);
    case 'alert':
      return `TLS alert: ${came.why}`;
    case 'silent':
      return `no answer in ${formatDuration(came.ms)}`;
    default:
      return came.why;
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function columns(texts: readonly string[]): string {
  return texts
    .map((text, place) => text.padEnd(WIDTHS[place] ?? 0))
    .join('  ')
    .trimEnd();
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = INDENT;
  for (const word of text.split(' ')) {
    if (line !== INDENT && line.length + word.length >= LINE_WIDTH) {
      lines.push(line.trimEnd());
      line = INDENT;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
