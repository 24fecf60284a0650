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
export function runFor(
  { folder }: Gateway,
  ...[command, ...words]: readonly string[]
): Promise<CommandResult> {
  const isEvents = command === 'events';
  const [act, rest] = isEvents ? [words.slice(0, 1), words.slice(1)] : [[], words];
  return runCommand([command as string, ...act, '--config', join(folder, 'postern.yaml'), ...rest]);
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
  if (answer.status !== 202 || record.outcome !== 'quarantined')
    throw new Error(`not quarantined: ${answer.status} ${JSON.stringify(record)}`);
  return answer.id;
}
