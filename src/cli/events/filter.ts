import type { Command } from 'commander';
import type { EventFilter, EventState } from '../../events.ts';
import { CliError } from '../exit.ts';
import { readTime } from './time.ts';
import { visible } from './visible.ts';

/** What narrows the events, as it was typed. */
export interface TypedFilter {
  readonly route?: string;
  readonly state?: string;
  readonly type?: string;
  readonly id?: string;
  readonly since?: string;
  readonly until?: string;
}

const STATES: readonly EventState[] = ['waiting', 'delivering', 'delivered', 'dead', 'quarantined'];

/** How times are written, for the help of every command that takes one. */
export const TIMES = `
A time is ISO 8601 (2026-03-01, 2026-03-01T08:30:00Z; without a zone it is UTC) or an age such as 90s, 15m, 2h, 7d.`;

/** Gives a command the options of a filter. */
export function withFilterOptions(command: Command): Command {
  return command
    .option('--route <name>', 'of this route only, or of one of its clients: NAME/CLIENT')
    .option('--state <states>', `in these states, with commas between: ${STATES.join(', ')}; default: all`)
    .option('--type <pattern>', 'of this event type; one * at the end stands for anything: invoices.*')
    .option('--id <id>', "with this id: the event's own or its message id")
    .option('--since <time>', 'received at this time or later')
    .option('--until <time>', 'received before this time');
}

/** @throws CliError with exit code 2 and what would be right */
export function readFilter(typed: TypedFilter, nowMs = Date.now()): EventFilter {
  const fromMs = readWhen('--since', typed.since, nowMs);
  const toMs = readWhen('--until', typed.until, nowMs);
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs)
    throw new CliError('--since is not before --until: no event can be meant', 2);
  return {
    route: typed.route,
    states: typed.state === undefined ? undefined : readStates(typed.state, STATES),
    eventType: typed.type === undefined ? undefined : readType(typed.type),
    id: typed.id,
    fromMs,
    toMs,
  };
}

/** States with commas between. @throws CliError with exit code 2 */
export function readStates(text: string, known: readonly EventState[]): EventState[] {
  const words = new Set(text.split(',').map((word) => word.trim()));
  return [...words].map(
    (word) =>
      known.find((state) => state === word) ??
      misuse(`--state ${visible(text)}: give one or more of ${known.join(', ')}, with commas between`),
  );
}

/** @throws CliError with exit code 2 */
export function readType(pattern: string): string {
  return /^[^*]*\*?$/.test(pattern) && pattern !== ''
    ? pattern
    : misuse(`--type ${visible(pattern)}: give a type, or its beginning and one * at the end: invoices.*`);
}

/** @throws CliError with exit code 2 */
export function readWhen(option: string, text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  return (
    readTime(text, nowMs) ??
    misuse(`${option} ${visible(text)}: give a time such as 2026-03-01T08:30:00Z, or an age such as 2h or 7d`)
  );
}

/** Ends the command as wrongly used. @throws CliError with exit code 2 */
export function misuse(sentence: string): never {
  throw new CliError(sentence, 2);
}
