import type { RedisSettings } from '../../state-settings.ts';
import type { Client } from './client.ts';

const ASKED = ['appendonly', 'appendfsync', 'maxmemory-policy', 'maxmemory'] as const;

/**
 * What of Redis's own settings can lose what was acknowledged, a sentence each. A provider that forbids CONFIG has to
 * be asked instead.
 */
export async function durabilityWarnings(
  client: Client,
  { url }: Pick<RedisSettings, 'url'>,
): Promise<readonly string[]> {
  const where = `redis ${url.hosts.map(({ host, port }) => `${host}:${port}`).join(',')}`;
  const asked = await Promise.all(ASKED.map((name) => settingOf(client, name)));
  if (asked.every((value) => value === undefined)) {
    return [
      `${where}: does not tell its settings (CONFIG GET is forbidden); see to it that it has appendonly yes, appendfsync always and maxmemory-policy noeviction`,
    ];
  }
  const [appendonly, appendfsync, policy, maxmemory] = asked;
  const warnings: string[] = [];
  if (appendonly === 'no') {
    warnings.push(
      `${where}: appendonly is no: a restart of it loses the events and claims since its last snapshot; set appendonly yes`,
    );
  } else if (appendfsync !== undefined && appendfsync !== 'always') {
    const lost = appendfsync === 'everysec' ? 'the last second' : 'what its system had not written yet';
    warnings.push(
      `${where}: appendfsync is ${appendfsync}: a power failure loses ${lost} of acknowledged events and claims; set appendfsync always`,
    );
  }
  if (policy !== undefined && policy !== 'noeviction') {
    const when = maxmemory === '0' ? 'as soon as maxmemory is set' : 'when its memory is full';
    warnings.push(
      `${where}: maxmemory-policy is ${policy}: ${when} it drops events and claims without a word; set noeviction`,
    );
  }
  return warnings;
}

async function settingOf(client: Client, name: string): Promise<string | undefined> {
  try {
    const [, value] = (await client.config('GET', name)) as string[];
    return value;
  } catch {
    return undefined;
  }
}
