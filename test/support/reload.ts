import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { baseConfig, type Config, type Gateway } from './gateway.ts';
import type { LogLine } from './log-line.ts';

/** Writes a file of a running gateway's folder the careful way: beside it, then in its place at once. */
export async function replaceFile(gateway: Gateway, name: string, text: string): Promise<void> {
  const file = join(gateway.folder, name);
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** The text of a configuration as `startGateway` writes it. */
export function configText(config: Config): string {
  return stringify({ ...baseConfig(), ...config });
}

/** Waits until `act` has led to a new configuration; resolves with its line in the log. */
export async function untilReloaded(gateway: Gateway, act: () => unknown): Promise<LogLine> {
  const since = gateway.lines.length;
  await act();
  return gateway.line(({ msg }) => msg === 'configuration reloaded', since);
}

/** Waits until `act` has led to a refused configuration; resolves with every problem that was logged for it. */
export async function untilRefused(gateway: Gateway, act: () => unknown): Promise<string[]> {
  const since = gateway.lines.length;
  await act();
  await gateway.line(({ msg }) => msg === 'configuration not reloaded', since);
  return gateway.lines
    .slice(since)
    .filter(({ msg }) => msg === 'configuration not reloaded')
    .map(({ problem }) => String(problem));
}

/** Replaces files of the gateway and has it read them by SIGHUP. */
export async function reload(gateway: Gateway, files: Readonly<Record<string, string>>): Promise<LogLine> {
  return untilReloaded(gateway, async () => {
    for (const [name, text] of Object.entries(files)) await replaceFile(gateway, name, text);
    gateway.signal('SIGHUP');
  });
}
