import { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import type { Unused } from '../config/unused.ts';
import { configError } from './exit.ts';
import { configOption } from './options.ts';
import { factsOf } from './routes/facts.ts';
import { clientTable, routeTable, secretTable } from './routes/table.ts';
import { askUsage } from './usage/ask.ts';
import { usageWarnings } from './usage/warnings.ts';

/** `postern routes`: who can come in where, and what is unused; as a table or JSON. */
export function routesCommand(): Command {
  return new Command('routes')
    .description('show who may come in where, what is checked, where it goes, and what is unused')
    .addOption(configOption())
    .option(
      '--unused',
      'print only what is unused; with --json {"upstreams", "senders", "files", "defaults"}',
    )
    .option('--json', 'print an array of routes as JSON, nothing shortened')
    .addHelpText('after', '\nExample:\n  postern routes --json')
    .action(async ({ config, json, unused: isUnused }: Typed) => {
      const { settings, unused } = await configError(() => loadConfig(config));
      const { routes } = settings;
      if (isUnused) {
        console.log(json ? JSON.stringify(unused, undefined, 2) : unusedText(unused));
        return;
      }
      const asked = await askUsage(settings);
      const counted = new Map(asked?.usage?.routes.map((usage) => [usage.route, usage]));
      const facts = routes.map((route) => factsOf(route, counted));
      if (json) {
        console.log(JSON.stringify(facts, undefined, 2));
        return;
      }
      const idle = asked?.usage === undefined ? [] : usageWarnings(routes, asked.usage);
      const parts = [routeTable(routes, facts), clientTable(facts), secretTable(facts), unusedText(unused)];
      if (idle.length > 0) parts.push(idle.join('\n'));
      if (asked !== undefined) parts.push(`note: ${asked.note}`);
      console.log(parts.filter((part) => part !== '').join('\n\n'));
    });
}

/** The command's options as they were typed. */
interface Typed {
  readonly config: string;
  readonly json?: true;
  readonly unused?: true;
}

function unusedText({ upstreams, senders, files, defaults }: Unused): string {
  const lines = [
    ...upstreams.map((name) => `upstreams.${name}: no route uses it`),
    ...senders.map((name) => `senders/${name}.yaml: no route uses it`),
    ...files.map((file) => `${file}: no route uses it`),
    ...defaults.map((key) => `defaults.${key}: no route takes it`),
  ];
  return lines.length === 0 ? 'nothing is unused' : `unused:\n${lines.join('\n')}`;
}
