import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from './ending.ts';

/** A file system of a few megabytes, some of them taken by a file that can be removed. */
export interface SmallDisk {
  readonly folder: string;
  /** Makes room. */
  free(): void;
}

const mounted = new Set<string>();
afterAll(async () => {
  for (const folder of mounted) {
    spawnSync('umount', ['--lazy', folder]);
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Whether this user may mount one; where not, the tests of a full disk are left out, and that is said. */
export function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'postern-mount-'));
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', folder], { encoding: 'utf8' });
  if (status === 0) spawnSync('umount', [folder]);
  else
    console.warn(
      `the tests of a full disk are left out: they need root, to mount a small tmpfs (${stderr?.trim()})`,
    );
  rmSync(folder, { recursive: true, force: true });
  return status === 0;
}

export function mountSmallDisk(sizeMiB: number, takenMiB: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'postern-small-'));
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder]);
  if (status !== 0) throw new Error(String(stderr));
  mounted.add(folder);
  const ballast = join(folder, 'ballast');
  writeFileSync(ballast, Buffer.alloc(takenMiB << 20));
  return { folder, free: () => rmSync(ballast) };
}
