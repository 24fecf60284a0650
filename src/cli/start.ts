import { Command } from 'commander';
import { loadRunnable } from './configuration.ts';
import { configError } from './exit.ts';
import { configOption } from './options.ts';

/** `postern start`: runs the gateway until it is told to stop. */
export function startCommand(): Command {
  return new Command('start')
    .description(
      'run the gateway; SIGTERM or SIGINT ends it after its last answer, SIGHUP reads the configuration again and opens the log file anew',
    )
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  postern start --config config/postern.yaml')
    .action(async ({ config }: { config: string }) => {
      const files = new Map<string, string | undefined>();
      const configuration = await configError(() => loadRunnable(config, files));
      // Loaded only here: the other commands must not pay for the gateway in time and memory.
      const { run } = await import('./start/run.ts');
      await run(configuration, config, files);
    });
}
