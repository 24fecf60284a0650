import { type Command, CommanderError } from 'commander';
import { CliError } from '../../src/cli/exit.ts';
import type { CommandResult } from './command.ts';

let last: Promise<unknown> = Promise.resolve();

/**
 * Runs a command of `postern` in this process, for tests that run one so often that a process for each would be a good part
 * of what all tests cost. One after the other: what is printed meanwhile is taken for the command's.
 */
export function runHere(make: () => Command, args: readonly string[]): Promise<CommandResult> {
  const running = last.then(() => run(make(), args));
  last = running.catch(() => undefined);
  return running;
}

async function run(command: Command, args: readonly string[]): Promise<CommandResult> {
  const { log } = console;
  const { stdout: out, stderr: err } = process;
  const writes = { out: out.write, err: err.write };
  const before = process.exitCode;
  const printed = { out: [] as Buffer[], err: [] as Buffer[] };
  const capture = (where: 'out' | 'err') =>
    ((data: string | Buffer, ...rest: unknown[]) => {
      printed[where].push(Buffer.from(data as string));
      const done = rest.find((one) => typeof one === 'function') as (() => void) | undefined;
      if (done !== undefined) process.nextTick(done);
      return true;
    }) as typeof process.stdout.write;
  [out.write, err.write] = [capture('out'), capture('err')];
  console.log = (line: string) => void out.write(`${line}\n`);
  process.exitCode = undefined;
  for (const one of [command, ...command.commands])
    one.exitOverride().configureOutput({ writeErr: (text) => void err.write(text) });
  let exitCode = 0;
  try {
    await command.parseAsync([...args], { from: 'user' });
    exitCode = Number(process.exitCode ?? 0);
  } catch (error) {
    exitCode = codeOf(error);
    if (error instanceof CliError) err.write(`${error.message}\n`);
  } finally {
    console.log = log;
    [out.write, err.write] = [writes.out, writes.err];
    process.exitCode = before;
  }
  const text = (pieces: Buffer[]) => Buffer.concat(pieces).toString();
  return { exitCode, stdout: text(printed.out), stderr: text(printed.err) };
}

function codeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof CliError) return error.exitCode;
  throw error;
}
