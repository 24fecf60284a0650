import { type AdminFacts, type AdminServer, openAdmin } from '../../admin/server.ts';
import { BodyBudget } from '../../body.ts';
import { type Built, buildGateway, deliveryObserver, upstreamObserver } from '../../build.ts';
import type { Configuration } from '../../config/load.ts';
import { shownText } from '../../config/show.ts';
import { type Deliveries, openDeliveries } from '../../deliver/deliveries.ts';
import { type UpstreamPool, upstreamPool } from '../../deliver/upstream-pool.ts';
import { type Entrance, type Listener, listen } from '../../listen/server.ts';
import { openPulse, type Pulse } from '../../pulse.ts';
import { type Log, openLog } from '../../record/log.ts';
import { type Metrics, openMetrics } from '../../record/metrics.ts';
import type { Settings } from '../../settings.ts';
import { type LenientClaims, lenientClaims } from '../../store/redis/local.ts';
import type { Store } from '../../store-types.ts';
import { openRunner, type Runner } from '../../transform/runner.ts';
import { bind } from '../bind.ts';
import { CliError } from '../exit.ts';
import { surviveFaults } from '../fault.ts';
import { usageText } from '../usage/answer.ts';
import { amissWith } from './amiss.ts';
import { crowdNotes } from './crowding.ts';
import { watchExpiries } from './expiring.ts';
import { drain } from './leave.ts';
import { type Live, liveGateway } from './live.ts';
import { readOpenFileLimit, roomFor } from './open-files.ts';
import { openReloader } from './reload.ts';
import { stopSignal } from './signals.ts';
import { notReadyFor, openState } from './state.ts';
import { warnOfStrays } from './strays.ts';

/** What one process has once, whatever its configuration becomes. */
interface Process {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: Store;
  readonly deliveries: Deliveries;
  readonly own: LenientClaims;
  readonly upstreams: UpstreamPool;
  readonly budget: BodyBudget;
  readonly pulse: Pulse;
  readonly scripts: Runner;
  /** `undefined`: as many as it likes. */
  readonly openFiles: number | undefined;
}

/**
 * Runs the gateway until it is told to stop.
 * @param file the configuration file, as the user named it
 * @param files what was read for it
 */
export async function run(
  { settings, warnings, expiries }: Configuration,
  file: string,
  files: ReadonlyMap<string, string | undefined>,
): Promise<void> {
  const log = openLogFile(settings);
  const metrics = openMetrics();
  const inForce = { settings: () => settings };
  const store = await openState(settings, log, () => inForce.settings());
  const parts: Process = {
    log,
    metrics,
    store,
    deliveries: openDeliveries(store.queue, deliveryObserver(log, metrics)),
    own: lenientClaims(),
    upstreams: upstreamPool(upstreamObserver(log, metrics)),
    budget: new BodyBudget(settings.limits.bufferedBodies),
    pulse: openPulse(settings.limits.eventLoopDelay),
    scripts: openRunner((error) => log.logger.error({ err: error }, 'transformations')),
    openFiles: readOpenFileLimit(),
  };
  const { deliveries, pulse } = parts;
  await startScripts(settings, parts);
  const live = liveGateway(settings, build(settings, parts));
  inForce.settings = () => live.settings;
  let phase: 'starting' | 'serving' | 'draining' = 'starting';
  const notReady = () => (phase === 'serving' ? notReadyFor(store, live.settings) : phase);
  const amiss = () => amissWith(store, live.settings);
  // Before the gateway's own port: where that is shared, senders are let in the moment it is bound, and a start that
  // failed only then would lose them.
  const config = () => shownText(live.settings);
  const usage = () => usageText(live.settings, live.built.usage);
  const facts = { notReady, amiss, metrics: () => metrics.text(), config, usage };
  const admin = await openAdminIfAny(settings, facts).catch(async (error) => {
    await close(parts);
    throw error;
  });
  const listener = await openListener(live, parts).catch(async (error) => {
    admin?.close();
    await close(parts);
    throw error;
  });
  phase = 'serving';
  metrics.watch({
    connections: () => listener.connections(),
    handshakes: () => listener.handshakes(),
    eventLoopDelayMs: () => pulse.delayMs(),
    requests: () => live.inFlight(),
    bufferedBytes: () => parts.budget.usedBytes,
    ready: () => notReady() === undefined,
    lostLogWrites: () => log.losses(),
    targets: () => live.built.targets(),
    queue: () => store.queue.counts(),
    usage: () => live.built.usage,
  });
  for (const warning of [...warnings, ...roomWarnings(settings, parts)]) {
    log.logger.warn({ warning }, 'configuration');
  }
  // Not before there is a listener: a start that fails must not have begun to deliver.
  deliveries.configure(live.built.workers);
  warnOfStrays(parts, live.built);
  const expiring = watchExpiries({ log, metrics });
  expiring.watch(expiries);
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
  // Outside of any request (there each is answered as `gateway.error`): it must not end all the others.
  surviveFaults((error) => log.logger.error({ err: error }, 'uncaught'));
  const reloader = openReloader(
    {
      file,
      log,
      metrics,
      started: settings,
      apply: (next) => apply(next, { live, listener, parts }),
      expiries: (next) => expiring.watch(next),
      ended: () => pulse.restart(),
    },
    files,
  );
  const signal = await stopSignal(log, () => reloader.reload('SIGHUP'));
  phase = 'draining';
  reloader.close();
  deliveries.stop();
  await drain({ log, live, listener, deliveries }, signal);
  admin?.close();
  live.close();
  await close(parts);
}

/** @throws CliError where the process may not start the thread that a transformation needs */
async function startScripts(settings: Settings, parts: Process): Promise<void> {
  try {
    if (hasScripts(settings)) parts.scripts.start();
  } catch (error) {
    await close(parts);
    throw new CliError(`${settings.file}: ${(error as Error).message}`, 78);
  }
}

function hasScripts({ routes }: Settings): boolean {
  return routes.some(({ transform }) => transform !== undefined);
}

function build(settings: Settings, parts: Process, before?: Built): Built {
  return buildGateway(settings, parts, parts, before);
}

/** Everything of a new configuration that can fail comes first. */
function apply(
  settings: Settings,
  { live, listener, parts }: { live: Live; listener: Listener; parts: Process },
): number {
  if (hasScripts(settings)) parts.scripts.start();
  const built = build(settings, parts, live.built);
  let closed: number;
  try {
    closed = listener.replace(entranceOf(settings, built, parts));
  } catch (error) {
    built.release();
    throw error;
  }
  parts.budget.limitBytes = settings.limits.bufferedBodies;
  parts.pulse.limitMs = settings.limits.eventLoopDelay;
  live.replace(settings, built);
  parts.deliveries.configure(built.workers);
  warnOfStrays(parts, built);
  return closed;
}

function entranceOf(settings: Settings, { admits }: Built, { openFiles }: Process): Entrance {
  const keepsDer = settings.routes.some((route) => route.clientCertificateHeader);
  return { settings, admits, keepsDer, room: roomFor(settings, openFiles).connections };
}

function roomWarnings(settings: Settings, { openFiles }: Process): readonly string[] {
  const { warning } = roomFor(settings, openFiles);
  return warning === undefined ? [] : [warning];
}

function openListener(live: Live, parts: Process): Promise<Listener> {
  const { settings, built } = live;
  return bind({ section: 'listen', ...settings.listen }, () =>
    listen({
      entrance: entranceOf(settings, built, parts),
      handler: live.handler,
      budget: parts.budget,
      notes: crowdNotes(parts),
    }),
  );
}

async function close({ log, store, upstreams, pulse, scripts }: Process): Promise<void> {
  await scripts.close();
  pulse.close();
  await upstreams.close();
  await store.close();
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
    const what = `log.destination: cannot write ${settings.log.destination}`;
    throw new CliError(`${settings.file}: ${what}: ${(error as Error).message}`, 78);
  }
}
