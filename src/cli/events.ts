import { Command } from 'commander';
import { discardCommand, retryCommand } from './events/act.ts';
import { auditCommand } from './events/audit.ts';
import { exportCommand } from './events/export.ts';
import { forgetCommand } from './events/forget.ts';
import { listCommand } from './events/list.ts';
import { releaseCommand } from './events/release.ts';
import { showCommand } from './events/show.ts';

/** `postern events`: the queue, for its operator. */
export function eventsCommand(): Command {
  const command = new Command('events')
    .summary('the queue: list, show, retry, discard, release, forget, export, audit')
    .description(
      'Look at the events of the queue and act on them, beside a gateway that runs or without one. ' +
        'waiting: for its turn or its next attempt; delivering; delivered; dead: a dead letter, given up; ' +
        'quarantined: its signature does not hold, and nobody has released it.',
    )
    .addHelpText('after', '\nExample:\n  postern events list --state dead');
  for (const one of [
    listCommand(),
    showCommand(),
    retryCommand(),
    discardCommand(),
    releaseCommand(),
    forgetCommand(),
    exportCommand(),
    auditCommand(),
  ])
    command.addCommand(one);
  return command;
}
