import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const BLOCK_BYTES = 4096;
const SPAN_MS = 1000;

/** How many appends of 4 KiB a second the disk of this folder confirms, one after the other. */
export function measureDisk(folder: string): number {
  const file = join(folder, 'appends');
  const block = Buffer.alloc(BLOCK_BYTES, 'x');
  const descriptor = openSync(file, 'w');
  try {
    let count = 0;
    const beganMs = performance.now();
    while (performance.now() - beganMs < SPAN_MS) {
      writeSync(descriptor, block);
      fdatasyncSync(descriptor);
      count += 1;
    }
    return (count * 1000) / (performance.now() - beganMs);
  } finally {
    closeSync(descriptor);
    rmSync(file);
  }
}
