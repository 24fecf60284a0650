/**
 * Run first in a gateway (`--import`): keeps its event loop busy on demand. At SIGUSR2, and while the configuration is
 * read again after `STALL_READING` has been made, it says so in a line of the log and goes on only when the file
 * `STALL_UNTIL` is there and at least `STALL_MS` have passed.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { STALL_UNTIL = '', STALL_READING = '', STALL_MS = '0' } = process.env;
const nap = new Int32Array(new SharedArrayBuffer(4));
const readFileSync = fs.readFileSync;

function stall(): void {
  const byMs = performance.now() + Number(STALL_MS);
  fs.writeSync(1, `${JSON.stringify({ msg: 'stalling' })}\n`);
  while (performance.now() < byMs || !fs.existsSync(STALL_UNTIL)) Atomics.wait(nap, 0, 0, 5);
  fs.rmSync(STALL_UNTIL);
}

process.on('SIGUSR2', stall);
fs.readFileSync = ((...given: Parameters<typeof readFileSync>) => {
  if (String(given[0]).endsWith('postern.yaml') && fs.existsSync(STALL_READING)) {
    fs.rmSync(STALL_READING);
    stall();
  }
  return readFileSync(...given);
}) as typeof readFileSync;
syncBuiltinESMExports();
