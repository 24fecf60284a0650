#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { CliError } from './cli/exit.ts';
import { endOnFault } from './cli/fault.ts';
import { errorText } from './record/error-facts.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('postern')
  .description('An mTLS-terminating reverse proxy for webhooks.')
  .version(version)
  .addHelpText('after', '\nExample:\n  postern certs && postern start --config config/postern.yaml')
  .addHelpText('after', '\nExit codes: 0 good, 1 refused or failed, 2 wrong use, 78 bad configuration.');

// Only the one that is asked for: what the others load would be half of what a short command costs.
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  start: async () => (await import('./cli/start.ts')).startCommand(),
  check: async () => (await import('./cli/check.ts')).checkCommand(),
  routes: async () => (await import('./cli/routes.ts')).routesCommand(),
  certs: async () => (await import('./cli/certs.ts')).certsCommand(),
  send: async () => (await import('./cli/send.ts')).sendCommand(),
  events: async () => (await import('./cli/events.ts')).eventsCommand(),
  explain: async () => (await import('./cli/explain.ts')).explainCommand(),
  probe: async () => (await import('./cli/probe.ts')).probeCommand(),
  transform: async () => (await import('./cli/transform.ts')).transformCommand(),
  demo: async () => (await import('./cli/demo.ts')).demoCommand(),
};
const [, , asked = ''] = process.argv;
const wanted = Object.hasOwn(COMMANDS, asked) ? [asked] : Object.keys(COMMANDS);
for (const name of wanted) program.addCommand(await (COMMANDS[name] as () => Promise<Command>)());
// Subcommands made on their own do not inherit this; without it commander ends the process with its own code.
for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])])
  command.exitOverride().showHelpAfterError('(--help shows how)');

endOnFault();
// A reader that has seen enough (`| head`) is no fault; a gateway whose log reader is gone goes on.
process.stdout.on('error', () => undefined);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

function exitCodeOf(error: unknown): number {
  // commander has printed its own message; its help and version are good ends.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof CliError) {
    process.stderr.write(`${error.message}\n`);
    return error.exitCode;
  }
  process.stderr.write(`postern: ${errorText(error)}\n`);
  return 1;
}
