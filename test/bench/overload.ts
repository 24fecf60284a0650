/**
 * What becomes of requests when more come than one process can take: `node test/bench/overload.ts`. See README.md
 * beside this file.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createSigner } from './event.ts';
import { type Peer, prepareGround } from './ground.ts';
import type { OpenResult } from './load/open.ts';
import { readCpuTime, readRssKib } from './measure.ts';
import { scrape } from './scrape.ts';
import { findFreePort } from './spawn.ts';
import { runTrial, startLoad } from './trial.ts';
import { ask, loadIdentity, openConnection } from './wire.ts';

const WARM_UP_REQUESTS = 20_000;
const CLOSED_CONNECTIONS = 64;
/** Tried before the right one: they make a request dear for the gateway alone, so that one load process outdoes it. */
const WRONG_SECRETS = 63;
const SAMPLE_MS = 100;
const SETTLE_MS = 3_000;

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    connections: { type: 'string', default: '3000' },
    limit: { type: 'string', default: '500ms' },
  },
});
const [times, seconds, connections] = [values.times, values.seconds, values.connections].map(Number) as [
  number,
  number,
  number,
];
const admin = await findFreePort();
const ground = await prepareGround('node');
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => ground.close().finally(() => process.exit(1)));
}
try {
  const peer = await ground.open('postern', {
    fillings: { ADMIN: String(admin) },
    configure: (yaml) =>
      yaml
        .replace('limits:', `limits:\n  event_loop_delay: ${values.limit}`)
        .replace('secrets:\n', `secrets:\n${wrongSecrets(WRONG_SECRETS)}`),
  });
  await measure(peer);
} finally {
  await ground.close();
}

async function measure(peer: Peer): Promise<void> {
  const closed = { requests: WARM_UP_REQUESTS, connections: CLOSED_CONNECTIONS, accepts: [503] };
  await runTrial(ground, peer, closed);
  const calm = await runTrial(ground, peer, closed);
  const sustained = calm.requests / calm.load.seconds;
  const perSecond = Math.round(sustained * times);
  const load = await startLoad(ground, peer, {
    kind: 'open',
    requests: perSecond * seconds,
    connections,
    perSecond,
  });
  const rssBeforeMib = readRssKib(peer.pid) / 1024;
  const rss = watchRss(peer.pid);
  const cpuBefore = readCpuTime(peer.pid);
  const result = (await load.go()) as OpenResult;
  const cpu = readCpuTime(peer.pid);
  const cpuSeconds = cpu.usedSeconds - cpuBefore.usedSeconds;
  const waitedSeconds = cpu.waitedSeconds - cpuBefore.waitedSeconds;
  const next = await askNext(peer);
  const rssMostMib = rss.stop();
  await pause(SETTLE_MS);
  const rssAfterMib = readRssKib(peer.pid) / 1024;
  load.release();
  const shed = await readShed();
  const others = Object.entries(result.statuses).filter(([status]) => status !== '200' && status !== '503');
  const rows: [string, string][] = [
    [
      'sustained, closed loop',
      `${Math.round(sustained)}/s, ${Math.round((calm.cpuSeconds * 1e6) / calm.requests)} us of CPU each, p99 ${ms(calm.load.p99Ms)}`,
    ],
    ['offered', `${perSecond}/s for ${seconds} s over ${connections} connections`],
    [
      'accepted',
      `${result.statuses[200] ?? 0}, ${Math.round((result.statuses[200] ?? 0) / result.seconds)}/s`,
    ],
    [
      'CPU of the gateway, and waited for it',
      `${cpuSeconds.toFixed(1)} s, ${waitedSeconds.toFixed(1)} s; ${Math.round((result.statuses[200] ?? 0) / cpuSeconds)} accepted a CPU second`,
    ],
    [
      'accepted: p50, p99, longest',
      [result.accepted.p50Ms, result.accepted.p99Ms, result.accepted.maxMs].map(ms).join(', '),
    ],
    ['503 with Retry-After', String((result.statuses[503] ?? 0) - result.withoutRetryAfter)],
    ['these by the limit that was reached', shed],
    ['503 without Retry-After', String(result.withoutRetryAfter)],
    ['any other answer', others.map(([status, count]) => `${status}: ${count}`).join(', ') || '0'],
    ['no answer', String(result.unanswered)],
    ['not sent: every connection had a request under way', String(result.unsent)],
    ['resident memory before, most, 3 s after', [rssBeforeMib, rssMostMib, rssAfterMib].map(mib).join(', ')],
    ['the next request, right after', `${next.status} in ${ms(next.ms)}`],
  ];
  console.log(
    ['| what | figure |', '| --- | --- |', ...rows.map(([what, it]) => `| ${what} | ${it} |`)].join('\n'),
  );
}

function wrongSecrets(count: number): string {
  const line = () => `        - whsec_${randomBytes(32).toString('base64')}\n`;
  return Array.from({ length: count }, line).join('');
}

function watchRss(pid: number): { stop: () => number } {
  let most = 0;
  const look = () => {
    most = Math.max(most, readRssKib(pid) / 1024);
  };
  const timer = setInterval(look, SAMPLE_MS);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return most;
    },
  };
}

/** A new connection and one event, as soon as the load has ended. */
async function askNext(peer: Peer): Promise<{ status: number; ms: number }> {
  const sentMs = performance.now();
  const socket = await openConnection(peer.port, loadIdentity(ground.folder));
  const { status } = await ask(socket, createSigner(ground.credentials)());
  socket.destroy();
  return { status, ms: performance.now() - sentMs };
}

/** What was turned away, by limit. */
async function readShed(): Promise<string> {
  const found = await scrape(admin, 'postern_shed_total');
  return (
    [...found].map(([reason, count]) => `${reason.slice('{reason="'.length, -2)}: ${count}`).join(', ') ||
    'none'
  );
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

function mib(value: number): string {
  return `${Math.round(value)} MiB`;
}
