import type { Attempt } from '../send/event.ts';
import { nextInWords } from '../send/print.ts';
import type { Case } from './cases.ts';
import type { LogRecord } from './gateway.ts';

/** What came of one case, from all three sides. */
export interface Result {
  readonly case: Case;
  readonly attempt: Attempt;
  /** The gateway's log line; `undefined`: there was none. */
  readonly record: LogRecord | undefined;
  /** The paths that reached the service meanwhile. */
  readonly service: readonly string[];
}

const WIDTHS = [41, 18, 24, 16, 15];

/** The table's first two lines. */
export function tableHead(): string {
  const titles = line([
    'what was sent',
    'the sender got',
    'the gateway noted',
    'the service saw',
    'the sender then',
  ]);
  return `${titles}\n${'-'.repeat(titles.length)}`;
}

/** One line of the table. */
export function tableRow(result: Result): string {
  const { attempt, record, service } = result;
  const retryAfter = attempt.retryAfter === undefined ? '' : ` Retry-After ${attempt.retryAfter}`;
  return line([
    result.case.sent,
    attempt.status === undefined ? `- ${attempt.error}` : `${attempt.status}${retryAfter}`,
    record?.reason ?? record?.outcome ?? '-',
    service.length === 0 ? '-' : service.join(' '),
    attempt.next.kind === 'give-up' ? 'gives up' : nextInWords(attempt.next),
    mistakes(result).length === 0 ? 'ok' : 'NOT AS EXPECTED',
  ]);
}

/** What was not as expected, in words; empty: everything was. */
export function mistakes({ case: { expected }, attempt, record, service }: Result): string[] {
  const found: string[] = [];
  const compare = (
    what: string,
    is: string | number | undefined,
    expectedValue: string | number | undefined,
  ) => {
    if (is !== expectedValue)
      found.push(`${what}: expected ${expectedValue ?? 'nothing'}, got ${is ?? 'nothing'}`);
  };
  compare('status', attempt.status ?? attempt.error, expected.status);
  compare("the gateway's record", record?.reason ?? record?.outcome, expected.record);
  compare('the service saw', service.length === 0 ? undefined : service.join(' '), expected.service);
  if (expected.retryAfter && attempt.retryAfter === undefined) found.push('Retry-After is missing');
  return found;
}

function line(columns: readonly string[]): string {
  return columns
    .map((text, index) => text.padEnd(WIDTHS[index] ?? 0))
    .join('  ')
    .trimEnd();
}
