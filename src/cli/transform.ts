import { readFile } from 'node:fs/promises';
import { diff } from 'node:util';
import { Command } from 'commander';
import { fileTrouble } from '../config/files.ts';
import { duration, size } from '../config/values.ts';
import type { Made, Script } from '../transform/job.ts';
import { CliError } from './exit.ts';
import { findSample } from './sample-events.ts';

interface Typed {
  readonly event?: string;
  readonly file?: string;
  readonly method: string;
  readonly url: string;
  readonly timeout: string;
  readonly memory: string;
  readonly json?: true;
}

const HELP = `
Exit code 0: the message would be delivered, or is cancelled; 1: the script fails on it; 78: it cannot be used at all.

Examples:
  postern transform transforms/ledger.js --event invoices.write.successful
  postern transform transforms/ledger.js --file captured.json`;

/** `postern transform`: tries a script on one message, without a gateway. */
export function transformCommand(): Command {
  return new Command('transform')
    .summary('try a transformation on one message and show the difference')
    .description('Runs a script of `transform:` on a message as a route would, and shows what it changes.')
    .argument('<script>', 'the script, such as transforms/ledger.js')
    .option('--event <name>', 'a sample event (postern send --list-events)')
    .option('--file <file>', 'a message in a file')
    .option('--method <method>', 'the method of the request', 'POST')
    .option('--url <path>', "the path at the route's upstream", '/')
    .option('--timeout <duration>', 'how long the script may run', '50ms')
    .option('--memory <size>', 'what it may take up', '16MiB')
    .option('--json', 'print what would be delivered as JSON')
    .addHelpText('after', HELP)
    .action(async (file: string, typed: Typed, command: Command) => {
      if ((typed.event === undefined) === (typed.file === undefined))
        return command.error('error: give one of --event and --file', { exitCode: 2 });
      const script = await readScript(file, typed);
      const body = await readMessage(typed);
      const { openEngine } = await import('../transform/engine.ts');
      const engine = await openEngine();
      const fault = await engine.check(script);
      if (fault !== undefined)
        throw new CliError(`${file}:${fault.line}:${fault.column} ${fault.sentence}`, 78);
      const { method, url } = typed;
      const made = await engine.run({ script, method, url, body, receivedMs: Date.now() });
      if (made.kind === 'failed' || made.kind === 'malformed')
        throw new CliError(`transform.${made.kind}: ${made.detail}`);
      process.stdout.write(typed.json ? `${JSON.stringify(jsonOf(made))}\n` : shown(made, body, typed));
    });
}

async function readScript(name: string, { timeout, memory }: Typed): Promise<Script> {
  const timeoutMs = duration().safeParse(timeout).data;
  const memoryBytes = size().safeParse(memory).data;
  if (timeoutMs === undefined) throw new CliError('--timeout: give a duration such as 50ms', 2);
  if (memoryBytes === undefined) throw new CliError('--memory: give a size such as 16MiB', 2);
  return { name, source: (await readOrSay(name)).toString(), timeoutMs, memoryBytes };
}

async function readMessage({ event, file }: Typed): Promise<Buffer> {
  if (file !== undefined) return readOrSay(file);
  const sample = findSample(event as string);
  if (sample === undefined)
    throw new CliError(`there is no sample event ${event}; postern send --list-events names them`, 2);
  return Buffer.from(JSON.stringify(sample.make()));
}

function readOrSay(file: string): Promise<Buffer> {
  return readFile(file).catch((error) => {
    throw new CliError(`cannot read ${file}: ${fileTrouble(error)}`, 2);
  });
}

function jsonOf(made: Exclude<Made, { kind: 'failed' | 'malformed' }>): object {
  if (made.kind === 'cancelled') return { cancel: true };
  const { method, url, payload } = made;
  return {
    cancel: false,
    method,
    url,
    changed: payload !== undefined,
    payload: payload && JSON.parse(payload),
  };
}

function shown(
  made: Exclude<Made, { kind: 'failed' | 'malformed' }>,
  body: Buffer,
  { method, url }: Typed,
): string {
  if (made.kind === 'cancelled') return 'cancelled: acknowledged, and not delivered\n';
  const lines = [
    made.method === method ? `  ${method}` : `- ${method}\n+ ${made.method}`,
    made.url === url ? `  ${url}` : `- ${url}\n+ ${made.url}`,
  ];
  if (made.payload === undefined)
    lines.push('  the payload is left as it is: the bytes received are delivered');
  else lines.push(...difference(pretty(body.toString()), pretty(made.payload)));
  return `${lines.join('\n')}\n`;
}

function difference(before: string[], after: string[]): string[] {
  // Node marks what only the second has with -1.
  return diff(before, after).map(([side, line]) => `${side === 0 ? ' ' : side < 0 ? '+' : '-'} ${line}`);
}

function pretty(json: string): string[] {
  return JSON.stringify(JSON.parse(json), undefined, 2).split('\n');
}
