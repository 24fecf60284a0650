import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeCertificates } from './certificates.ts';
import type { Credentials } from './event.ts';
import { readFileLimit } from './measure.ts';
import { findFreePort, isInstalled, type Peer, type PeerName, startGateway, startUpstream } from './peers.ts';
import { readProfiles } from './profile.ts';
import { cpuPer10k, printProfiles, printSummaries, type Summary, summarise } from './report.ts';
import { runTrial, type Trial } from './trial.ts';
import { vet } from './vet.ts';

const RESULTS = join(import.meta.dirname, 'results.json');
const WARM_UP_REQUESTS = 10_000;
/** Few: what a heap grown by much traffic has to spare would hide the connections. */
const IDLE_WARM_UP_REQUESTS = 500;
/** Long enough for a garbage collection to have happened where one is due. */
const IDLE_SETTLE_MS = 5_000;

/** One run of the bench: where its files are and what must be stopped when it ends. */
interface Bench {
  readonly run: string;
  readonly credentials: Credentials;
  readonly upstreamPort: number;
  readonly started: Peer[];
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    requests: { type: 'string', default: '20000' },
    connections: { type: 'string', default: '32' },
    idle: { type: 'string' },
    profile: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
const rounds = readCount('rounds', values.rounds, 50);
const requests = readCount('requests', values.requests, 200_000);
const connections = readCount('connections', values.connections, 1_000);
const names = chooseGateways();

const bench = await prepare();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => close().finally(() => process.exit(1)));
}
try {
  if (values.idle !== undefined) await measureIdle(readCount('idle', values.idle, 5_000));
  else if (values.profile) await profilePostern();
  else await compare();
} finally {
  await close();
}

async function close(): Promise<void> {
  for (const peer of bench.started.splice(0).reverse()) await peer.stop();
  rmSync(bench.run, { recursive: true, force: true });
}

function readCount(name: string, text: string, limit: number): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= limit) return count;
  console.error(`--${name}: a whole number from 1 to ${limit}, not ${text}`);
  process.exit(2);
}

function chooseGateways(): PeerName[] {
  if (process.platform !== 'linux' || availableParallelism() < 2 || !isInstalled('taskset')) {
    console.error(
      'the bench needs Linux, two cores and taskset (util-linux): it reads /proc and pins processes',
    );
    process.exit(1);
  }
  const missing = ['nginx', 'haproxy'].filter((program) => !isInstalled(program));
  if (missing.length > 0)
    console.error(`not installed: ${missing.join(', ')} (apt-get install ${missing.join(' ')})`);
  if (missing.includes('nginx')) process.exit(1);
  if (missing.includes('haproxy')) console.error('going on without HAProxy: there will be no ratio');
  const all: PeerName[] = missing.includes('haproxy') ? ['postern'] : ['haproxy', 'postern'];
  const chosen = all.filter((name) => values.only === undefined || name === values.only);
  if (chosen.length > 0) return chosen;
  console.error(`--only: ${all.join(' or ')}, not ${values.only}`);
  process.exit(2);
}

async function prepare(): Promise<Bench> {
  const run = mkdtempSync(join(tmpdir(), 'postern-bench-'));
  writeCertificates(run);
  const credentials = { secret: randomBytes(32).toString('base64'), bearer: randomBytes(16).toString('hex') };
  const upstream = await startUpstream(run, await findFreePort());
  return { run, credentials, upstreamPort: upstream.port, started: [upstream] };
}

/** Starts a gateway and proves that it does the job; it is stopped when the bench ends. */
async function open(name: PeerName, nodeOptions: readonly string[] = []): Promise<Peer> {
  const fillings = {
    UPSTREAM: String(bench.upstreamPort),
    SECRET: bench.credentials.secret,
    BEARER: bench.credentials.bearer,
  };
  const peer = await startGateway(name, bench.run, fillings, nodeOptions);
  bench.started.push(peer);
  await vet(peer, bench.run, bench.credentials, name === 'postern');
  return peer;
}

function trial(peer: Peer, count: number, over: number, settleMs?: number): Promise<Trial> {
  const { run: certificates, credentials } = bench;
  const plan = {
    certificates,
    credentials,
    requests: count,
    connections: over,
    atOnce: Math.min(over, connections),
  };
  return runTrial(peer, plan, settleMs);
}

async function compare(): Promise<void> {
  const peers: Peer[] = [];
  for (const name of names) peers.push(await open(name));
  const trials = new Map(peers.map((peer) => [peer.name, [] as Trial[]]));
  for (const peer of peers) await trial(peer, WARM_UP_REQUESTS, connections);
  for (let round = 1; round <= rounds; round += 1) {
    for (const peer of peers) {
      const one = await trial(peer, requests, connections);
      trials.get(peer.name)?.push(one);
      console.log(
        `round ${round} ${peer.name}: ${cpuPer10k(one).toFixed(3)} CPU s / 10,000, ${one.load.tls}`,
      );
    }
  }
  const summaries = [...trials].map(([name, list]) => summarise(name, list, trials.get('haproxy')));
  printSummaries(summaries);
  if (values.only === undefined) writeResults(summaries, trials);
}

function writeResults(summaries: readonly Summary[], trials: ReadonlyMap<string, readonly Trial[]>): void {
  const machine = { node: process.version, cpu: cpus()[0]?.model, cores: availableParallelism() };
  const each = [...trials].flatMap(([name, list]) =>
    list.map((one) => ({ name, cpuSecondsPer10k: cpuPer10k(one), rssKib: one.rssAfterKib, ...one.load })),
  );
  const results = {
    date: new Date().toISOString(),
    machine,
    rounds,
    requests,
    connections,
    summaries,
    trials: each,
  };
  writeFileSync(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`);
}

async function measureIdle(count: number): Promise<void> {
  if (readFileLimit() < count + 500) {
    console.error(`open files are limited to ${readFileLimit()}: run "ulimit -n ${count + 500}" first`);
    process.exitCode = 1;
    return;
  }
  for (const name of names) {
    const peer = await open(name);
    await trial(peer, IDLE_WARM_UP_REQUESTS, connections, IDLE_SETTLE_MS);
    const { rssBeforeKib, rssAfterKib } = await trial(peer, count, count, IDLE_SETTLE_MS);
    const each = (rssAfterKib - rssBeforeKib) / count;
    console.log(
      `${name}: ${rssBeforeKib} KiB, with ${count} idle connections ${rssAfterKib} KiB: ${each.toFixed(1)} KiB each`,
    );
  }
}

async function profilePostern(): Promise<void> {
  const folder = join(bench.run, 'profile');
  const peer = await open('postern', ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=200']);
  await trial(peer, WARM_UP_REQUESTS, connections);
  const { windowUs } = await trial(peer, requests, connections);
  await peer.stop();
  printProfiles(readProfiles(folder, windowUs), requests);
}
