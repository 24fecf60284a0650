import { type Command, CommanderError } from 'commander';
import { CliError } from '../../src/cli/exit.ts';
import type { CommandResult } from './command.ts';

/**
 * Runs a command of `postern` in this process, for a test that runs one so often that a process for each would be a good part
 * of what all tests cost. One at a time: what is printed meanwhile is taken for the command's.
 */
export async function runHere(command: Command, args: readonly string[]): Promise<CommandResult> {
  const { log } = console;
  const before = process.exitCode;
  let [stdout, stderr] = ['', ''];
  console.log = (line: string) => {
    stdout += `${line}\n`;
  };
  const print = (text: string) => {
    stderr += text;
  };
  try {
    await command
      .exitOverride()
      .configureOutput({ writeErr: print })
      .parseAsync([...args], { from: 'user' });
    return { exitCode: Number(process.exitCode ?? 0), stdout, stderr };
  } catch (error) {
    if (error instanceof CommanderError) return { exitCode: 2, stdout, stderr };
    if (!(error instanceof CliError)) throw error;
    return { exitCode: error.exitCode, stdout, stderr: `${stderr}${error.message}\n` };
  } finally {
    console.log = log;
    process.exitCode = before;
  }
}
