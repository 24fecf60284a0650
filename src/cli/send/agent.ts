import { readFileSync } from 'node:fs';

/** Who sends, for User-Agent: `postern-send/VERSION`. */
export function userAgent(command: 'send' | 'probe'): string {
  return `postern-${command}/${VERSION}`;
}

const VERSION = readVersion();

function readVersion(): string {
  // As deep below the package's root in src/ as in dist/.
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  );
  return typeof manifest === 'object' && manifest && 'version' in manifest ? String(manifest.version) : '0';
}
