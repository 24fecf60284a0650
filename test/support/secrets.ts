import { randomBytes } from 'node:crypto';

const SECRET_KEYS = new Set(['secrets', 'bearer', 'password', 'value', 'token', 'key']);

/** Every secret of a configuration and its environment, in the spellings in which it could reach a log. */
export function secretsIn(config: unknown, env: Readonly<Record<string, string>>): string[] {
  const found = Object.values(env).filter((value) => value.length >= 8);
  collect(config, false, found);
  return found.filter((text) => !text.includes('${'));
}

function collect(node: unknown, secret: boolean, found: string[]): void {
  if (typeof node === 'string') {
    if (secret && node.length >= 8) found.push(node, node.replace(/^(whsec|whpk)_/, ''));
    return;
  }
  if (typeof node !== 'object' || node === null) return;
  if ('username' in node && 'password' in node) {
    found.push(Buffer.from(`${node.username}:${node.password}`).toString('base64'));
  }
  for (const [key, value] of Object.entries(node)) collect(value, secret || SECRET_KEYS.has(key), found);
}

/** A fresh `whsec_` secret of so many bytes. */
export function newSecret(bytes = 32): string {
  return `whsec_${randomBytes(bytes).toString('base64')}`;
}
