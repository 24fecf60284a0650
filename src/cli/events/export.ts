import { type FileHandle, open, rm } from 'node:fs/promises';
import { Command } from 'commander';
import type { EventFilter, Events } from '../../events.ts';
import { CliError } from '../exit.ts';
import { configOption } from '../options.ts';
import { readFilter, TIMES, type TypedFilter, withFilterOptions } from './filter.ts';
import { type Where, withEvents } from './open.ts';
import { ReaderGone, write } from './output.ts';
import { eachEvent } from './pages.ts';
import { jsonText } from './visible.ts';
import { count, detailJson } from './words.ts';

type TypedExport = Where & TypedFilter & { readonly output?: string };

/** `postern events export`: everything of every event, a line each. */
export function exportCommand(): Command {
  return withFilterOptions(new Command('export'))
    .description('write events as JSON lines: facts, headers, payload and every attempt, the newest first')
    .addOption(configOption())
    .option('--output <file>', 'a new file, readable by its owner only; default: standard output')
    .addHelpText(
      'after',
      `${TIMES}\nPayloads and answers are in base64, and as text where they are UTF-8. A file that is there is never overwritten.`,
    )
    .addHelpText(
      'after',
      '\nExamples:\n  postern events export --state dead --output dead.jsonl\n' +
        "  postern events export --route codat-events --since 7d | jq -r '.body.text'",
    )
    .action(async (typed: TypedExport) => {
      const filter = readFilter(typed);
      const { output } = typed;
      const { number, unreadable } = await withEvents(typed, (events) =>
        output === undefined ? exportAll(events, filter, write) : exportTo(output, events, filter),
      );
      process.stderr.write(
        `${count(number, 'event')} exported${output === undefined ? '' : ` to ${output}`}\n`,
      );
      if (unreadable > 0) {
        process.stderr.write(
          `${count(unreadable, 'event')} of them without what cannot be decrypted: see unreadable\n`,
        );
        process.exitCode = 1;
      }
    });
}

interface Exported {
  readonly number: number;
  readonly unreadable: number;
}

async function exportAll(
  events: Events,
  filter: EventFilter,
  take: (line: string) => Promise<void>,
): Promise<Exported> {
  let number = 0;
  let unreadable = 0;
  try {
    for await (const { place } of eachEvent(events, filter)) {
      // What was removed since the page was read is left out.
      const event = await events.read(place);
      if (event === undefined) continue;
      await take(`${jsonText(detailJson(event))}\n`);
      number += 1;
      if (event.unreadable !== undefined) unreadable += 1;
    }
  } catch (error) {
    if (!(error instanceof ReaderGone)) throw error;
  }
  return { number, unreadable };
}

/** Leaves a whole file or none. */
async function exportTo(output: string, events: Events, filter: EventFilter): Promise<Exported> {
  // Exclusive: what is there, be it a link, a device or last night's export, is left alone.
  const file = await open(output, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST'
      ? new CliError(`${output} is there already and is not overwritten; name a new file`)
      : new CliError(`cannot make ${output}: ${error.message}`);
  });
  try {
    const exported = await exportAll(events, filter, (line) => writeLine(file, line, output));
    await file.sync();
    await file.close();
    return exported;
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(output, { force: true });
    throw error;
  }
}

async function writeLine(file: FileHandle, line: string, output: string): Promise<void> {
  try {
    await file.appendFile(line);
  } catch (error) {
    throw new CliError(`cannot write ${output}: ${(error as Error).message}; it was removed again`);
  }
}
