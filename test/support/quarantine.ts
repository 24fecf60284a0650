import { join } from 'node:path';
import { type CommandResult, runCommand } from './command.ts';
import type { Gateway } from './gateway.ts';
import { post, type RequestOptions } from './sender.ts';

/** A route `a` with a quarantine; the rest of it is given. */
export function quarantineRoute(secrets: readonly string[], more: object = {}): object {
  return {
    name: 'a',
    path: '/a',
    addresses: 'any',
    upstream: 'app',
    signature: { scheme: 'standard-webhooks', secrets },
    quarantine: { signature: true },
    ...more,
  };
}

/** `postern COMMAND WORDS…` with the configuration of a gateway. */
export function runFor(gateway: Gateway, ...words: readonly string[]): Promise<CommandResult> {
  return runWith('postern.yaml', gateway, ...words);
}

/** The same with another configuration of its folder: that of an operator who has changed something. */
export function runWith(
  config: string,
  { folder }: Gateway,
  ...words: readonly string[]
): Promise<CommandResult> {
  const commands = words[0] === 'events' ? 2 : 1;
  const file = join(folder, config);
  return runCommand([...words.slice(0, commands), '--config', file, ...words.slice(commands)]);
}

/** An event of the state, as `postern events list --json` shows it. */
export interface Listed {
  readonly id: string;
  readonly state: string;
  readonly message_id?: string;
  readonly [key: string]: unknown;
}

export async function listed(gateway: Gateway, ...words: string[]): Promise<readonly Listed[]> {
  const { stdout, stderr } = await runFor(gateway, 'events', 'list', '--json', ...words);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout).events;
}

/** Sends an event that lands in quarantine; resolves with its own id. */
export async function sendUnproved(gateway: Gateway, options: RequestOptions): Promise<string> {
  const answer = await post(gateway, { path: '/a', ...options });
  const record = await gateway.record(answer.id);
  const isKept = record.outcome === 'quarantined' && record.detail?.endsWith('tried');
  if (answer.status !== 202 || !isKept)
    throw new Error(`not quarantined: ${answer.status} ${JSON.stringify(record)}`);
  return answer.id;
}
