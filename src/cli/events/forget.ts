import { Command } from 'commander';
import { CliError } from '../exit.ts';
import { configOption } from '../options.ts';
import { findAll, type Where, withEvents } from './open.ts';
import { jsonText, visible } from './visible.ts';
import { count } from './words.ts';

type TypedForget = Where & { readonly route: string; readonly json?: true };

/** `postern events forget`: drops a claim, so that a deliberate resend is no duplicate. */
export function forgetCommand(): Command {
  return new Command('forget')
    .description(
      'drop the claims of a message, so that the next copy of it is delivered: before the sender is asked to resend',
    )
    .argument('<id>', 'the message id (webhook-id, svix-id), or the id of one of its events')
    .addOption(configOption())
    .requiredOption('--route <name>', 'the route that remembers it, or one of its clients: NAME/CLIENT')
    .option('--json', 'print {"forgotten": N}')
    .addHelpText(
      'after',
      '\nThe event itself stays where it is; one that waits is still delivered. Of several clients of one sender all claims go.\n' +
        'An id that begins with a dash stands behind --, after the options: forget --route NAME -- --odd-id\n' +
        '\nExample:\n  postern events forget msg_2ZTqvvSZL9NXFIjaYe1Bx4NJVCS --route codat-events',
    )
    .action(async (id: string, typed: TypedForget) => {
      const { route } = typed;
      const forgotten = await withEvents(typed, async (events) => {
        const number = await events.forget(route, id);
        if (number > 0) return number;
        // `list` shows an event's own id first, so that is what may have been pasted here.
        const own = (await findAll(events, id, route)).find((event) => event.id === id);
        return own?.messageId === undefined ? 0 : events.forget(route, own.messageId);
      });
      if (typed.json) console.log(jsonText({ forgotten }));
      else if (forgotten > 0)
        console.log(`${count(forgotten, 'claim')} dropped: the next copy of ${visible(id)} is delivered`);
      if (forgotten === 0)
        throw new CliError(
          `the route ${visible(route)} remembers no message ${visible(id)}: a copy of it is delivered as it is`,
        );
    });
}
