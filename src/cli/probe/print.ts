import { formatDuration } from '../send/words.ts';
import type { Result } from './run.ts';
import type { Came } from './wire.ts';

const MARKS = {
  right: 'ok',
  doubtful: 'doubt',
  miss: 'MISS',
  'not judged': 'NOT JUDGED',
  'left out': 'left out',
} as const;
const WIDTHS = [10, 24, 62, 34];
const INDENT = ' '.repeat((WIDTHS[0] ?? 0) + 2);
const LINE_WIDTH = 120;

/** The table's first two lines. */
export function tableHead(): string {
  const titles = columns(['', 'case', 'what was sent', 'what came', 'what is right']);
  return `${titles}\n${'-'.repeat(titles.length)}`;
}

/** One case as a row of the table, and below it why. */
export function tableRow(result: Result): string {
  const { case: each, came, verdict, note } = result;
  const row = columns([MARKS[verdict], each.name, each.sent, cameInWords(came), each.expected.words]);
  const why =
    verdict === 'left out' ? [`${note}.`] : [each.why, ...(each.source ? [`[${each.source}]`] : [])];
  const noted = note === undefined || verdict === 'left out' ? [] : [`${note}.`];
  return [row, ...wrap([...noted, ...why].join(' '))].join('\n');
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
      : `\nThe good event was not accepted, so ${rest} further cases were not tried: whatever is refused now would prove nothing.`;
  return `${results.length} cases in ${formatDuration(ms)}: ${parts.join(', ')}.${untried}`;
}

/** `200`, `404 (7 times)`, `TLS alert: certificate required`, `no answer in 5 s`. */
export function cameInWords(came: readonly Came[]): string {
  const texts = came.map(oneInWords);
  const [first = '-'] = texts;
  if (texts.length > 2 && texts.every((text) => text === first)) return `${first} (${texts.length} times)`;
  return texts.length === 0 ? '-' : texts.join(', ');
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
