/**
 * Loaded before the gateway (`--import`): rotates its log, ROTATE_LOG, as soon as that says that the gateway listens,
 * tells the gateway, and ends it when it has written to the new file.
 */
import { existsSync, readFileSync, renameSync } from 'node:fs';

const { ROTATE_LOG: file = '' } = process.env;
const LOOK_MS = 10;

function until(text: string, act: () => void): void {
  const timer = setInterval(() => {
    if (!existsSync(file) || !readFileSync(file, 'utf8').includes(text)) return;
    clearInterval(timer);
    act();
  }, LOOK_MS);
}

until('"listening"', () => {
  renameSync(file, `${file}.1`);
  process.kill(process.pid, 'SIGHUP');
  until('"configuration reloaded"', () => process.kill(process.pid, 'SIGTERM'));
});
