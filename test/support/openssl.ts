import { spawnSync } from 'node:child_process';

/** Whether `openssl` is there. With CI=true it must be; elsewhere its tests are left out, and that is said. */
export function hasOpenssl(): boolean {
  if (spawnSync('openssl', ['version']).status === 0) return true;
  if (process.env.CI === 'true') throw new Error('openssl is missing: apt-get install openssl');
  console.warn('openssl is missing, so its tests are left out: apt-get install openssl');
  return false;
}
