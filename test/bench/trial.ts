import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type EventShape, ORDINARY } from './event.ts';
import type { Ground, Peer } from './ground.ts';
import type { LoadPlan, LoadResult } from './load/process.ts';
import { readCpuTime, readRssKib } from './measure.ts';
import { LOAD_CORE } from './spawn.ts';

/** What is written late (the log's last buffer, the last group of claims) belongs to the requests that caused it. */
const SETTLE_MS = 300;

export type LoadKind = 'events' | 'handshakes' | 'keys' | 'open' | 'redis';

export interface TrialPlan {
  readonly kind?: LoadKind;
  readonly shape?: EventShape;
  readonly requests: number;
  readonly connections: number;
  /** How many requests are under way at once; default: one a connection. */
  readonly atOnce?: number;
  /** How many requests are due in a second, for the kind `open`. */
  readonly perSecond?: number;
  /** How long to wait after the last answer before the gateway is looked at. */
  readonly settleMs?: number;
  /** Which statuses, beside 200, are as they should be. */
  readonly accepts?: readonly number[];
}

/** One gateway under load, once. */
export interface Trial {
  readonly load: LoadResult;
  readonly requests: number;
  /** CPU seconds of the gateway over the timed requests. */
  readonly cpuSeconds: number;
  /** Seconds its threads were ready to run and others had the core. */
  readonly waitedSeconds: number;
  /** How busy the load's core was, in percent of the time: near 100 the load was the slower side. */
  readonly loadPercent: number;
  /** Resident memory before the connections, and after the last answer while they are still open. */
  readonly rssBeforeKib: number;
  readonly rssAfterKib: number;
  /** Monotonic microseconds between which the requests were sent and answered. */
  readonly windowUs: readonly [number, number];
}

/** A load process that has made its requests and opened its connections. */
export interface Load {
  readonly pid: number;
  /** Sends the requests; resolves with the last answer. The connections stay open until `release`. */
  go(): Promise<LoadResult>;
  release(): void;
}

/** Starts a load process on the load's core; resolves once it is ready to send. */
export async function startLoad(
  ground: Pick<Ground, 'folder' | 'credentials'>,
  peer: Pick<Peer, 'port'>,
  plan: TrialPlan,
): Promise<Load> {
  const script = join(import.meta.dirname, `load/${plan.kind ?? 'events'}.ts`);
  const child = spawn('taskset', ['-c', LOAD_CORE, process.execPath, script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ready = nextMessage(child);
  child.send({
    port: peer.port,
    certificates: ground.folder,
    credentials: ground.credentials,
    shape: plan.shape ?? ORDINARY,
    requests: plan.requests,
    connections: plan.connections,
    atOnce: plan.atOnce ?? plan.connections,
    ...(plan.perSecond !== undefined && { perSecond: plan.perSecond }),
  } satisfies LoadPlan);
  await ready;
  return {
    pid: child.pid ?? 0,
    go: async () => {
      const result = nextMessage(child);
      child.send('go');
      return (await result) as LoadResult;
    },
    release: () => {
      if (child.connected) child.disconnect();
    },
  };
}

/** Runs one plan against a gateway. Throws when an answer is not as it should be or a connection breaks. */
export async function runTrial(ground: Ground, peer: Peer, plan: TrialPlan): Promise<Trial> {
  const rssBeforeKib = readRssKib(peer.pid);
  const load = await startLoad(ground, peer, plan);
  try {
    const otherSide = () => readCpuTime(load.pid).usedSeconds + readCpuTime(ground.upstream.pid).usedSeconds;
    const before = readCpuTime(peer.pid);
    const otherBefore = otherSide();
    const beganUs = nowUs();
    const result = await load.go();
    const endedUs = nowUs();
    const otherSeconds = otherSide() - otherBefore;
    await pause(plan.settleMs ?? SETTLE_MS);
    const after = readCpuTime(peer.pid);
    expectStatuses(peer, plan, result);
    return {
      load: result,
      requests: plan.requests,
      cpuSeconds: after.usedSeconds - before.usedSeconds,
      waitedSeconds: after.waitedSeconds - before.waitedSeconds,
      loadPercent: (otherSeconds * 1e8) / (endedUs - beganUs),
      rssBeforeKib,
      rssAfterKib: readRssKib(peer.pid),
      windowUs: [beganUs, endedUs],
    };
  } finally {
    load.release();
  }
}

function expectStatuses({ title, logFile }: Peer, plan: TrialPlan, { statuses }: LoadResult): void {
  const good = [200, ...(plan.accepts ?? [])].reduce((sum, status) => sum + (statuses[status] ?? 0), 0);
  if (good === plan.requests) return;
  throw new Error(
    `${title}: not every answer was as expected: ${JSON.stringify(statuses)}; its log: ${logFile}`,
  );
}

function nextMessage(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`the load ended early, exit code ${code}`));
    child.once('exit', onExit);
    child.once('message', (message) => {
      child.off('exit', onExit);
      resolve(message);
    });
  });
}

function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
