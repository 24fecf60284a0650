import { isDeepStrictEqual } from 'node:util';
import type { Expiry } from '../../config/expiry.ts';
import type { Configuration } from '../../config/load.ts';
import { ConfigError } from '../../config/problems.ts';
import { watchFiles } from '../../config/watch.ts';
import type { Log } from '../../record/log.ts';
import type { Metrics } from '../../record/metrics.ts';
import type { Settings } from '../../settings.ts';
import { loadRunnable } from '../configuration.ts';

export interface ReloadOptions {
  /** The configuration file, as the user named it. */
  readonly file: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** What the process was started with: some keys stay so. */
  readonly started: Settings;
  /**
   * Builds everything beside what runs, then puts it in its place; returns how many connections the change of client
   * trust has closed.
   * @throws Error where it cannot be built: nothing has changed then
   */
  readonly apply: (settings: Settings) => number;
  readonly expiries: (expiries: readonly Expiry[]) => void;
  /** Called after each attempt: what it took of the process's time was meant to be. */
  readonly ended: () => void;
}

export interface Reloader {
  /** Reads the configuration again; whatever is wrong with it, what runs goes on. */
  reload(cause: string): void;
  /** The process is about to end: nothing new is taken any more. */
  close(): void;
}

/**
 * Takes a new configuration while the old one works: at a signal, and when a file of it has changed. All of it is
 * built before any of it counts, and one mistake keeps the old one whole.
 */
export function openReloader(
  options: ReloadOptions,
  files: ReadonlyMap<string, string | undefined>,
): Reloader {
  const { file, log, metrics, started } = options;
  const watch = watchFiles(() => reload('a file has changed'));
  let isClosed = false;
  watch.watch(new Map(files));

  let turn = Promise.resolve();
  // One after the other: what was read later must count in the end.
  function reload(cause: string): void {
    turn = turn.then(() => readAgain(cause));
  }

  async function readAgain(cause: string): Promise<void> {
    if (isClosed) return;
    const noted = new Map<string, string | undefined>();
    try {
      const configuration = await loadRunnable(file, noted);
      if (isClosed) return;
      take(configuration, cause);
      metrics.reloaded(true);
    } catch (error) {
      const problems = error instanceof ConfigError ? error.problems : [String(error)];
      for (const problem of problems) log.logger.error({ cause, problem }, 'configuration not reloaded');
      metrics.reloaded(false);
    }
    if (isClosed) return;
    watch.watch(noted);
    options.ended();
  }

  function take({ settings, warnings, expiries }: Configuration, cause: string): void {
    const restart = needRestart(started, settings);
    const closed = options.apply(settings);
    log.logger.level = settings.log.level;
    for (const warning of warnings) log.logger.warn({ warning }, 'configuration');
    for (const key of restart) {
      log.logger.warn({ key }, 'changed in the configuration, but takes effect only after a restart');
    }
    log.logger.info(
      { cause, routes: settings.routes.length, closed_connections: closed, needs_restart: restart },
      'configuration reloaded',
    );
    options.expiries(expiries);
  }

  return {
    reload,
    close: () => {
      isClosed = true;
      watch.close();
    },
  };
}

/** The keys whose change a running process cannot take. */
function needRestart(before: Settings, after: Settings): string[] {
  const pairs: readonly [string, (settings: Settings) => unknown][] = [
    ['listen.address', ({ listen }) => listen.address],
    ['listen.port', ({ listen }) => listen.port],
    ['listen.reuse_port', ({ listen }) => listen.reusePort],
    ['admin', ({ admin }) => admin],
    ['state', ({ state }) => state],
    ['log.destination', ({ log }) => log.destination],
  ];
  return pairs.filter(([, read]) => !isDeepStrictEqual(read(before), read(after))).map(([key]) => key);
}
