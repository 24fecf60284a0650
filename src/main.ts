#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { certsCommand } from './cli/certs.ts';
import { checkCommand } from './cli/check.ts';
import { demoCommand } from './cli/demo.ts';
import { eventsCommand } from './cli/events.ts';
import { CliError } from './cli/exit.ts';
import { explainCommand } from './cli/explain.ts';
import { endOnFault } from './cli/fault.ts';
import { probeCommand } from './cli/probe.ts';
import { routesCommand } from './cli/routes.ts';
import { sendCommand } from './cli/send.ts';
import { startCommand } from './cli/start.ts';
import { transformCommand } from './cli/transform.ts';
import { errorText } from './record/error-facts.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('postern')
  .description('An mTLS-terminating reverse proxy for webhooks.')
  .version(version)
  .addHelpText('after', '\nExample:\n  postern certs && postern start --config config/postern.yaml')
  .addHelpText('after', '\nExit codes: 0 good, 1 refused or failed, 2 wrong use, 78 bad configuration.');

for (const command of [
  startCommand(),
  checkCommand(),
  routesCommand(),
  certsCommand(),
  sendCommand(),
  eventsCommand(),
  explainCommand(),
  probeCommand(),
  transformCommand(),
  demoCommand(),
]) {
  program.addCommand(command);
}
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
