import { Command } from 'commander';
import type { EventDetail } from '../../events.ts';
import { CliError } from '../exit.ts';
import { configOption } from '../options.ts';
import { eventText } from './event-text.ts';
import { misuse } from './filter.ts';
import { findAll, type Where, withEvents } from './open.ts';
import { write } from './output.ts';
import { jsonText, plainText, visible } from './visible.ts';
import { detailJson } from './words.ts';

type TypedShow = Where & { readonly json?: true; readonly body?: true };

/** `postern events show`: everything that is kept of an event. */
export function showCommand(): Command {
  return new Command('show')
    .description('show everything of an event: facts, headers, payload, and every attempt with its answer')
    .argument('<id>', "the event's id or its message id")
    .addOption(configOption())
    .option('--route <name>', 'of this route (or NAME/CLIENT) only, where several had the message')
    .option('--body', 'write the bytes of the payload, and nothing else')
    .option(
      '--json',
      'print {"events": [...]}, with payload and answers in base64, and as text where they are UTF-8',
    )
    .addHelpText(
      'after',
      '\nAn id that begins with a dash stands behind --, after the options: show --json -- --odd-id\n' +
        '\nExamples:\n  postern events show msg_2ZTqvvSZL9NXFIjaYe1Bx4NJVCS\n' +
        '  postern events show --body msg_2ZTqvvSZL9NXFIjaYe1Bx4NJVCS > payload.json',
    )
    .action(async (id: string, typed: TypedShow) => {
      if (typed.body && typed.json) misuse('--body and --json do not go together');
      const found = await withEvents(typed, (events) => findAll(events, id, typed.route));
      if (found.length === 0) throw new CliError(notFound(id, typed.route));
      if (typed.body) await write(bodyOf(found, id));
      else if (typed.json) await write(`${jsonText({ events: found.map(detailJson) }, 2)}\n`);
      else await write(`${found.map((event) => eventText(event, Date.now())).join('\n\n')}\n`);
    });
}

/** Said where an id names nothing. */
export function notFound(id: string, route: string | undefined): string {
  const where = route === undefined ? '' : ` on the route ${visible(route)}`;
  return `${visible(id)}: there is no such event${where}; it was never accepted into the queue, was discarded, or its retention is over`;
}

function bodyOf(found: readonly EventDetail[], id: string): Buffer {
  const [event, ...others] = found;
  if (event === undefined || others.length > 0) {
    const ids = found.map((one) => `${visible(one.id)} (route ${visible(one.route)})`).join(', ');
    return misuse(
      `${visible(id)} names ${found.length} events: say which by --route or by its own id: ${ids}`,
    );
  }
  if (event.unreadable !== undefined)
    throw new CliError(`the payload of ${visible(event.id)} is not known: ${visible(event.unreadable)}`);
  // What the sender chose to write must not act on the operator's terminal.
  if (process.stdout.isTTY && plainText(event.body) === undefined)
    misuse(
      'the payload holds characters that a terminal acts on: write it to a file or a pipe, or leave out --body',
    );
  return event.body;
}
