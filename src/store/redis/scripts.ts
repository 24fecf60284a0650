import type { Client } from './client.ts';

/** A script that Redis runs as one step. */
export interface Script {
  /** No two alike, and no command of Redis. */
  readonly name: string;
  readonly keys: number;
  readonly lua: string;
}

/** Runs a script: by its hash, and in full where this Redis does not know it yet. */
export function runScript(
  client: Client,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number | Buffer)[],
): Promise<unknown> {
  const commands = client as unknown as Record<string, ((...all: unknown[]) => Promise<unknown>) | undefined>;
  if (commands[script.name] === undefined)
    client.defineCommand(script.name, { numberOfKeys: script.keys, lua: script.lua });
  return (commands[script.name] as (...all: unknown[]) => Promise<unknown>).call(client, ...keys, ...args);
}
