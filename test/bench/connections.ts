/**
 * Many connections held at once, with others left half open beside them: `node test/bench/connections.ts`. See
 * README.md beside this file.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createSigner } from './event.ts';
import { clientHello, openFlood } from './flood.ts';
import { type Peer, prepareGround } from './ground.ts';
import type { LoadResult } from './load/process.ts';
import { readRssKib } from './measure.ts';
import { scrape } from './scrape.ts';
import { findFreePort } from './spawn.ts';
import { startLoad } from './trial.ts';
import { ask, loadIdentity, openConnection } from './wire.ts';

const AT_ONCE = 32;
const EVENTS = 5_000;
const NEWCOMERS = 300;
const LOOK_MS = 50;
const PATIENCE_MS = 20_000;

const { values } = parseArgs({
  options: {
    held: { type: 'string', default: '5000' },
    'half-open': { type: 'string', default: '4000' },
  },
});
const [held, halfOpen] = [Number(values.held), Number(values['half-open'])];
const admin = await findFreePort();
const ground = await prepareGround('node');
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => ground.close().finally(() => process.exit(1)));
}
try {
  const peer = await ground.open('postern', {
    fillings: { ADMIN: String(admin) },
    configure: (yaml) => yaml.replace('limits:', 'limits:\n  handshake_timeout: 5m'),
  });
  await measure(peer);
} finally {
  await ground.close();
}

async function measure(peer: Peer): Promise<void> {
  const rssMib = () => Math.round(readRssKib(peer.pid) / 1024);
  const rss = [rssMib()];
  const beganMs = performance.now();
  const holding = await startLoad(ground, peer, { requests: held, connections: held, atOnce: AT_ONCE });
  const openedS = (performance.now() - beganMs) / 1000;
  const first = await holding.go();
  rss.push(rssMib());
  const silent = await openFlood(peer.port, Math.floor(halfOpen / 2));
  const hello = await openFlood(peer.port, Math.ceil(halfOpen / 2), await clientHello());
  const open = await connections();
  const [known, newcomers] = await Promise.all([
    runLoad(peer, { requests: EVENTS, connections: AT_ONCE }),
    runLoad(peer, { kind: 'handshakes', requests: NEWCOMERS, connections: 4 }),
  ]);
  rss.push(rssMib());
  const shed = [...(await scrape(admin, 'postern_shed_total'))].map(
    ([what, count]) => `${what.slice('{reason="'.length, -2)}: ${count}`,
  );
  const dropped = silent.closed() + hello.closed();
  silent.end();
  hello.end();
  holding.release();
  const quietS = await untilQuiet();
  const last = await askOnce(peer);
  const sent = held + EVENTS + NEWCOMERS + 1;
  const answered =
    [first, known, newcomers].reduce((sum, { statuses }) => sum + (statuses[200] ?? 0), 0) +
    (last === 200 ? 1 : 0);
  const rows: [string, string | number][] = [
    ['mTLS connections held, each after one event', `${held}, opened within ${openedS.toFixed(1)} s`],
    ['handshakes half open beside them', `${halfOpen - dropped}, of ${halfOpen} begun`],
    ['open at once', open],
    ['events meanwhile over 32 connections: p50, p99', latencies(known)],
    ['newcomers meanwhile, handshake and event: p50, p99', latencies(newcomers)],
    ['turned away', shed.join(', ') || 'none'],
    ['requests sent, answered 200, lost', `${sent}, ${answered}, ${sent - answered}`],
    ['resident memory before, with those held, with all', rss.map((mib) => `${mib} MiB`).join(', ')],
    ['no connection open after the end', `within ${quietS.toFixed(1)} s`],
  ];
  console.log(
    ['| what | figure |', '| --- | --- |', ...rows.map(([what, it]) => `| ${what} | ${it} |`)].join('\n'),
  );
}

async function runLoad(peer: Peer, plan: Parameters<typeof startLoad>[2]): Promise<LoadResult> {
  const load = await startLoad(ground, peer, plan);
  try {
    return await load.go();
  } finally {
    load.release();
  }
}

async function connections(): Promise<number> {
  return (await scrape(admin, 'postern_connections')).get('') ?? Number.NaN;
}

/** Seconds until the gateway counts no connection any more. */
async function untilQuiet(): Promise<number> {
  const beganMs = performance.now();
  while ((await connections()) > 0) {
    if (performance.now() - beganMs > PATIENCE_MS)
      throw new Error(`${await connections()} connections stay open`);
    await pause(LOOK_MS);
  }
  return (performance.now() - beganMs) / 1000;
}

async function askOnce(peer: Peer): Promise<number> {
  const socket = await openConnection(peer.port, loadIdentity(ground.folder));
  const { status } = await ask(socket, createSigner(ground.credentials)());
  socket.destroy();
  return status;
}

function latencies({ p50Ms, p99Ms }: LoadResult): string {
  return `${p50Ms.toFixed(1)} ms, ${p99Ms.toFixed(1)} ms`;
}
