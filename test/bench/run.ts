/** The bench: `npm run bench`. See README.md beside this file. */
import { join } from 'node:path';
import { writeChart } from './chart.ts';
import { type Peer, prepareGround } from './ground.ts';
import { readOptions } from './options.ts';
import { measureBodies } from './part/bodies.ts';
import { measureGrowth } from './part/growth.ts';
import { measureHandshakes } from './part/handshake.ts';
import { measureMemory } from './part/memory.ts';
import { measureRequests } from './part/request.ts';
import { PEERS } from './peers.ts';
import { printProfiles, readProfiles } from './profile.ts';
import { circumstances, type Figures, type PartName, readResults, writePart } from './results.ts';
import { comparisonTable, growthTable } from './tables.ts';
import { writeTargets } from './targets.ts';
import { runTrial } from './trial.ts';

/** What makes V8 compile the whole path. */
const WARM_UP_REQUESTS = 20_000;
/** Growth has twelve gateways: fewer rounds and requests keep the whole run under ten minutes. */
const GROWTH_ROUNDS = 3;
const GROWTH_REQUESTS = 10_000;

const options = readOptions();
const { rounds, requests, connections, idle, parts } = options;
const handshakes = Math.max(20, Math.round(requests / 20));
const bodies = Math.max(20, Math.round(requests / 100));
const ground = await prepareGround();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => ground.close().finally(() => process.exit(1)));
}
try {
  if (options.profile) await profilePostern();
  else await measureParts();
} finally {
  await ground.close();
}

async function measureParts(): Promise<void> {
  const measured: { -readonly [Name in PartName]?: Figures[Name] } = {};
  const done = <Name extends PartName>(
    name: Name,
    figures: Figures[Name],
    counts: Readonly<Record<string, number>>,
  ) => {
    Object.assign(measured, { [name]: figures });
    if (!options.whole) return;
    const versions = Object.fromEntries(options.peers.map((peer) => [peer, PEERS[peer].version()]));
    writePart(name, figures, circumstances(versions, counts));
  };
  if (parts.some((part) => part === 'request' || part === 'handshake' || part === 'bodies')) {
    const peers = await openWarm();
    if (parts.includes('request')) {
      const counts = { rounds, requests, connections };
      done('request', await measureRequests(ground, peers, counts), counts);
    }
    if (parts.includes('handshake')) {
      const counts = { rounds, handshakes };
      done('handshake', await measureHandshakes(ground, peers, counts), counts);
    }
    if (parts.includes('bodies')) {
      const counts = { rounds, bodies };
      done('bodies', await measureBodies(ground, peers, counts), counts);
    }
    for (const peer of peers) await peer.stop();
  }
  if (parts.includes('memory'))
    done('memory', await measureMemory(ground, options.peers, idle), { connections: idle });
  if (parts.includes('growth') && options.peers.includes('postern')) {
    const counts = {
      rounds: Math.min(rounds, GROWTH_ROUNDS),
      requests: Math.min(requests, GROWTH_REQUESTS),
      connections,
    };
    done('growth', await measureGrowth(ground, counts), counts);
  }
  printTables(measured);
  if (!options.whole) return;
  writeChart(readResults().figures);
  writeTargets(readResults().figures);
}

function printTables(figures: Figures): void {
  const { growth, ...comparison } = figures;
  if (Object.keys(comparison).length > 0) {
    const table = comparisonTable(comparison);
    console.log(`\n${table}`);
    if (table.includes('*')) console.log('* checks neither signature nor rate: it does less');
  }
  if (growth !== undefined) console.log(`\n${growthTable(growth)}`);
}

async function openWarm(): Promise<readonly Peer[]> {
  const peers: Peer[] = [];
  const onlyBodies = !parts.includes('request') && !parts.includes('handshake');
  for (const name of options.peers) {
    if (onlyBodies && !PEERS[name].signs) continue;
    const peer = await ground.open(name);
    peers.push(peer);
    await runTrial(ground, peer, { requests: WARM_UP_REQUESTS, connections });
  }
  return peers;
}

async function profilePostern(): Promise<void> {
  const folder = join(ground.folder, 'profile');
  const peer = await ground.open('postern', {
    nodeOptions: ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=200'],
  });
  await runTrial(ground, peer, { requests: WARM_UP_REQUESTS, connections });
  const { windowUs } = await runTrial(ground, peer, { requests, connections });
  await peer.stop();
  printProfiles(readProfiles(folder, windowUs), requests);
}
