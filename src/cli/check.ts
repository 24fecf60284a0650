import { Command } from 'commander';
import { shownText } from '../config/show.ts';
import { loadRunnable } from './configuration.ts';
import { configError } from './exit.ts';
import { configOption } from './options.ts';
import { askUsage } from './usage/ask.ts';
import { usageWarnings } from './usage/warnings.ts';

/** `postern check`: says all that is wrong with a configuration, and what is legal but unwise. */
export function checkCommand(): Command {
  return new Command('check')
    .description('read the configuration as `start` would; exit 78 and every mistake if it is wrong')
    .addOption(configOption())
    .option('--show', 'print the configuration as it works, every default filled in, without its secrets')
    .option('--json', 'print {"routes", "warnings", "usage"}, or with --show the configuration, as JSON')
    .addHelpText('after', '\nExample:\n  postern check --config config/postern.yaml')
    .action(async ({ config, json, show }: { config: string; json?: true; show?: true }) => {
      const { settings, warnings } = await configError(() => loadRunnable(config));
      if (show) {
        // What is printed can be read by programs, so the warnings go elsewhere.
        for (const warning of warnings) console.error(`warning: ${warning}`);
        process.stdout.write(
          json ? `${JSON.stringify(settings.shown, undefined, 2)}\n` : shownText(settings),
        );
        return;
      }
      const asked = await askUsage(settings);
      const found = asked?.usage === undefined ? [] : usageWarnings(settings.routes, asked.usage);
      const all = [...warnings, ...found];
      if (json) {
        console.log(JSON.stringify({ routes: settings.routes.length, warnings: all, usage: asked?.note }));
        return;
      }
      for (const warning of all) console.log(`warning: ${warning}`);
      if (asked !== undefined) console.log(`note: ${asked.note}`);
      console.log(
        `${config}: good, ${count(settings.routes.length, 'route')}, ${count(all.length, 'warning')}`,
      );
    });
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
