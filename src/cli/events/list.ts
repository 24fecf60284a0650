import { Command } from 'commander';
import { configOption } from '../options.ts';
import { misuse, readFilter, TIMES, type TypedFilter, withFilterOptions } from './filter.ts';
import { type Where, withEvents } from './open.ts';
import { eventTable } from './table.ts';
import { jsonText, visible } from './visible.ts';
import { summaryJson } from './words.ts';

type TypedList = Where &
  TypedFilter & { readonly limit: string; readonly after?: string; readonly json?: true };

/** The most of one page: a page is held in memory. */
const MOST = 500;

/** `postern events list`: which events there are, the newest first. */
export function listCommand(): Command {
  return withFilterOptions(new Command('list'))
    .description('show events, the newest first: id, route, state, type, tries, the last answer, when due')
    .addOption(configOption())
    .option('--limit <n>', `how many at most, up to ${MOST}`, '50')
    .option('--after <cursor>', 'go on where an earlier page ended')
    .option('--json', 'print {"events": [...], "next": "..."}; next is left out at the end')
    .addHelpText('after', `${TIMES}\nDead letters are what --state dead shows.`)
    .addHelpText(
      'after',
      "\nExamples:\n  postern events list --state dead --since 24h\n  postern events list --type 'invoices.*' --json",
    )
    .action(async (typed: TypedList) => {
      const filter = readFilter(typed);
      const limit = readLimit(typed.limit);
      const { events, next } = await withEvents(typed, (state) => state.list(filter, limit, typed.after));
      if (typed.json) {
        console.log(jsonText({ events: events.map(summaryJson), next }, 2));
        return;
      }
      const { columns } = process.stdout;
      console.log(events.length === 0 ? 'no such event' : eventTable(events, Date.now(), columns));
      if (next !== undefined) console.log(`\nthere are more: --after ${visible(next)}`);
    });
}

function readLimit(text: string): number {
  const limit = Number(text);
  return /^\d{1,3}$/.test(text) && limit >= 1 && limit <= MOST
    ? limit
    : misuse(`--limit ${visible(text)}: give a whole number from 1 to ${MOST}; export gives all there are`);
}
