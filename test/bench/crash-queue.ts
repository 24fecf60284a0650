/**
 * What becomes of accepted events when gateways are killed, or the power fails, at random moments:
 * `node test/bench/crash-queue.ts`. See README.md beside this file.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Gateway } from './crash/gateway.ts';
import { judge } from './crash/judge.ts';
import { killAtRandom } from './crash/kills.ts';
import { cutAtRandom } from './crash/power-cuts.ts';
import { readRecord } from './crash/record.ts';
import { reportCuts, reportKills } from './crash/report.ts';
import { DRIVERS, prepareScene } from './crash/scene.ts';
import { hasProgram } from './peers.ts';
import { scrape } from './scrape.ts';

const PROGRESS_EACH = 20;
const DRAIN_LIMIT_MS = 120_000;
const LOOK_MS = 200;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    driver: { type: 'string', default: 'sqlite' },
    gateways: { type: 'string', default: '1' },
    senders: { type: 'string', default: '3' },
    rate: { type: 'string', default: '120' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    'power-cut': { type: 'boolean', default: false },
    'skip-sync': { type: 'boolean', default: false },
  },
});
const isPowerCut = values['power-cut'];
const driver = DRIVERS.find((name) => name === values.driver);
if (driver === undefined || (isPowerCut && driver !== 'sqlite'))
  fail(`--driver: one of ${DRIVERS.join(', ')}; with --power-cut, sqlite`);
if (isPowerCut && !hasProgram('strace')) fail('--power-cut needs strace: apt-get install strace');
if (driver === 'redis' && !hasProgram('redis-server')) fail('it needs redis: apt-get install redis-server');
const rounds = Number(values.rounds ?? (isPowerCut ? 50 : 200));
const [gateways, seed] = [Number(values.gateways), Number(values.seed)];
const scene = await prepareScene({
  driver,
  gateways,
  senders: Number(values.senders),
  perSecond: Number(values.rate),
  seed,
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => scene.close().finally(() => process.exit(1)));
}
try {
  console.log(`--driver ${driver} --rounds ${rounds} --gateways ${gateways} --seed ${seed}`);
  const isAsPromised = isPowerCut ? await runCuts(scene.state as string) : await runKills();
  if (!isAsPromised) process.exitCode = 1;
} finally {
  await scene.close();
}

function fail(sentence: string): never {
  console.error(sentence);
  process.exit(2);
}

async function runKills(): Promise<boolean> {
  const senders = scene.send();
  const { kills, running } = await killAtRandom(scene, { rounds, gateways, seed }, (round) =>
    tell(round, senders.acknowledged.size),
  );
  await Promise.all(running.map(({ ready }) => ready));
  await senders.stop();
  await deliverAll(running);
  const found = judge({ ...senders, deliveries: readRecord(scene.record), crashes: kills });
  return reportKills(kills, senders, found);
}

async function runCuts(state: string): Promise<boolean> {
  const senders = scene.send();
  const plan = { state, rounds, seed, skipsSync: values['skip-sync'] };
  const cuts = await cutAtRandom(scene, senders.acknowledged, plan, (round) =>
    tell(round, senders.acknowledged.size),
  );
  const last = scene.start(0);
  await last.ready;
  await senders.stop();
  await deliverAll([last]);
  const found = judge({ ...senders, deliveries: readRecord(scene.record), crashes: cuts.crashes });
  return reportCuts(cuts, senders, found);
}

function tell(round: number, acknowledged: number): void {
  if (round % PROGRESS_EACH === 0) console.log(`round ${round}: ${acknowledged} events acknowledged`);
}

/** Waits until no event waits or is being delivered, and ends the gateways. */
async function deliverAll(running: readonly Gateway[]): Promise<void> {
  const byMs = performance.now() + DRAIN_LIMIT_MS;
  for (;;) {
    const found = await scrape((running[0] as Gateway).adminPort, 'postern_queue_events');
    const left = [...found].filter(([labels]) => !labels.includes('state="dead"'));
    const count = left.reduce((sum, [, value]) => sum + value, 0);
    if (count === 0) break;
    if (performance.now() > byMs) throw new Error(`${count} events are still not delivered`);
    await pause(LOOK_MS);
  }
  for (const gateway of running) await gateway.stop();
}
