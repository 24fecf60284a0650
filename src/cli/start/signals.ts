import type { Log } from '../../record/log.ts';

/** Resolves with the first signal to stop; a second one ends the process at once. */
export function stopSignal(log: Log, reload: () => void): Promise<NodeJS.Signals> {
  process.on('SIGHUP', () => {
    log.reopen();
    reload();
  });
  return new Promise((resolve) => {
    let stopping = false;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (stopping) endNow(log, signal);
        stopping = true;
        resolve(signal);
      });
    }
  });
}

function endNow(log: Log, signal: string): void {
  log.logger.warn({ signal }, 'ended by a second signal');
  log.end().finally(() => process.exit(1));
}
