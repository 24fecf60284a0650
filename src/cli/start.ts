import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { type AdminFacts, type AdminServer, openAdmin } from '../admin/server.ts';
import { BodyBudget } from '../body.ts';
import { type Built, buildGateway, openStore } from '../build.ts';
import { loadConfig } from '../config/load.ts';
import { type Listener, listen } from '../listen/server.ts';
import { type Log, openLog } from '../record/log.ts';
import { openMetrics } from '../record/metrics.ts';
import type { Settings } from '../settings.ts';
import { StateFileError } from '../store/state-file.ts';
import type { Store } from '../types.ts';
import { bind } from './bind.ts';
import { CliError, configError } from './exit.ts';
import { configOption } from './options.ts';

/** `postern start`: runs the gateway until it is told to stop. */
export function startCommand(): Command {
  return new Command('start')
    .description(
      'run the gateway; SIGTERM or SIGINT ends it after its last answer, SIGHUP opens the log file again',
    )
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  postern start --config config/postern.yaml')
    .action(async ({ config }: { config: string }) => {
      const { settings, warnings } = await configError(() => loadConfig(config));
      await run(settings, warnings);
    });
}

interface Running {
  settings: Settings;
  log: Log;
  built: Built;
  listener: Listener;
}

async function run(settings: Settings, warnings: readonly string[]): Promise<void> {
  const log = openLogFile(settings);
  const metrics = openMetrics();
  const store = openState(settings, (warning) => log.logger.warn({ warning }, 'state'));
  const budget = new BodyBudget(settings.limits.bufferedBodies);
  const built = buildGateway(settings, store, { log, metrics });
  let phase: 'starting' | 'serving' | 'draining' = 'starting';
  const warnOfFull = onceASecond((address: string) =>
    log.logger.warn({ peer: { address }, limit: settings.limits.connections }, 'limits.connections reached'),
  );
  const notReady = () => (phase === 'serving' ? store.problem() : phase);
  // Before the gateway's own port: where that is shared, senders are let in the moment it is bound, and a start that
  // failed only then would lose them.
  const admin = await openAdminIfAny(settings, { notReady, metrics: () => metrics.text() }).catch(
    async (error) => {
      await close({ log, store, built });
      throw error;
    },
  );
  const listener = await bind({ section: 'listen', ...settings.listen }, () =>
    listen({
      settings,
      handler: built.gateway,
      budget,
      admits: built.admits,
      keepsDer: settings.routes.some((route) => route.clientCertificateHeader),
      failedHandshake: (address, code) => {
        metrics.refusedConnection('handshake');
        log.logger.debug({ peer: { address }, code }, 'handshake failed');
      },
      full: (address) => {
        metrics.refusedConnection('limits.connections');
        warnOfFull(address);
      },
    }),
  ).catch(async (error) => {
    admin?.close();
    await close({ log, store, built });
    throw error;
  });
  phase = 'serving';
  metrics.watch({
    connections: () => listener.connections(),
    requests: () => built.gateway.inFlight(),
    bufferedBytes: () => budget.usedBytes,
    ready: () => notReady() === undefined,
    lostLogWrites: () => log.losses(),
  });
  for (const warning of warnings) log.logger.warn({ warning }, 'configuration');
  log.logger.info(
    {
      address: listener.address,
      port: listener.port,
      admin: admin === undefined ? false : { address: admin.address, port: admin.port },
      routes: settings.routes.length,
      pid: process.pid,
    },
    'listening',
  );
  surviveFaults(log);
  const signal = await stopSignal(log);
  phase = 'draining';
  await drain({ settings, log, built, listener }, signal);
  admin?.close();
  await close({ log, store, built });
}

/** A fault outside of any request (there each is answered as `gateway.error`) must not end all the others. */
function surviveFaults(log: Log): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => log.logger.error({ err: error }, 'uncaught'));
  }
}

/** Resolves with the first signal to stop; a second one ends the process at once. */
function stopSignal(log: Log): Promise<NodeJS.Signals> {
  process.on('SIGHUP', () => log.reopen());
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

/** What is left of the drain timeout for answering those whose upstream did not. */
const LAST_ANSWERS_MS = 1000;
const POLL_MS = 20;
const LAST_TURNS = 100;

async function drain({ settings, log, built, listener }: Running, signal: string): Promise<void> {
  const { drainDelay, drainTimeout } = settings.limits;
  const startedMs = performance.now();
  log.logger.info({ signal, in_flight: built.gateway.inFlight() }, 'draining');
  const patienceMs = Math.max(drainTimeout - LAST_ANSWERS_MS, drainTimeout / 2);
  const giveUp = setTimeout(() => built.gateway.giveUpAll(), patienceMs);
  const end = setTimeout(() => listener.destroy(), drainTimeout - Math.min(100, drainTimeout / 10));
  if (drainDelay > 0) await sleep(Math.min(drainDelay, patienceMs));
  listener.drain();
  await listener.closed;
  clearTimeout(giveUp);
  // An exchange whose sender was told 504 may still succeed: cut off, its event would be delivered once more.
  while (built.gateway.exchanges() > 0 && performance.now() < startedMs + patienceMs) await sleep(POLL_MS);
  // Requests that were cut off at the end are recorded when their connections' ends have been heard.
  for (let turn = 0; turn < LAST_TURNS && built.gateway.inFlight() > 0; turn += 1) await sleep(1);
  clearTimeout(end);
}

async function close({ log, store, built }: { log: Log; store: Store; built: Built }): Promise<void> {
  await built.close();
  store.close();
  log.logger.info('stopped');
  // A reader that has stopped reading must not keep the process: a blocked write lets no other end through.
  if (!(await log.end())) process.kill(process.pid, 'SIGKILL');
}

async function openAdminIfAny({ admin }: Settings, facts: AdminFacts): Promise<AdminServer | undefined> {
  return admin === false ? undefined : bind({ section: 'admin', ...admin }, () => openAdmin(admin, facts));
}

function openLogFile(settings: Settings): Log {
  try {
    return openLog(settings.log);
  } catch (error) {
    throw new CliError(`${settings.file}: log.destination: ${(error as Error).message}`, 78);
  }
}

function openState(settings: Settings, warn: (sentence: string) => void): Store {
  try {
    return openStore(settings, warn);
  } catch (error) {
    const where = settings.state.driver === 'sqlite' ? `: ${settings.state.path}` : '';
    throw new CliError(
      `state${where}: ${(error as Error).message}`,
      error instanceof StateFileError ? 78 : 1,
    );
  }
}

/** A flood of the same event is one line a second. */
function onceASecond<Arguments extends readonly unknown[]>(
  act: (...given: Arguments) => void,
): (...given: Arguments) => void {
  let lastMs = Number.NEGATIVE_INFINITY;
  return (...given) => {
    const nowMs = performance.now();
    if (nowMs - lastMs < 1000) return;
    lastMs = nowMs;
    act(...given);
  };
}
