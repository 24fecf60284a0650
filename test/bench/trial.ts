import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { LoadPlan, LoadResult } from './load.ts';
import { readCpuTime, readRssKib } from './measure.ts';
import { LOAD_CORE, type Peer } from './peers.ts';

/** What is written late (the log's last buffer, the last group of claims) belongs to the requests that caused it. */
const SETTLE_MS = 300;

/** One gateway under load, once. */
export interface Trial {
  readonly load: LoadResult;
  /** CPU seconds of the gateway over the timed requests; handshakes are before the clock. */
  readonly cpuSeconds: number;
  /** Seconds its threads were ready to run and others had the core. */
  readonly waitedSeconds: number;
  /** Resident memory before the connections, and after the last answer while they are still open. */
  readonly rssBeforeKib: number;
  readonly rssAfterKib: number;
  /** Monotonic microseconds between which the requests were sent and answered. */
  readonly windowUs: readonly [number, number];
}

/** Runs one plan against a gateway. Throws when any answer is not 200 or a connection breaks. */
export async function runTrial(
  peer: Peer,
  plan: Omit<LoadPlan, 'port'>,
  settleMs = SETTLE_MS,
): Promise<Trial> {
  const rssBeforeKib = readRssKib(peer.pid);
  const child = spawn('taskset', ['-c', LOAD_CORE, process.execPath, join(import.meta.dirname, 'load.ts')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  try {
    const ready = nextMessage(child);
    child.send({ ...plan, port: peer.port } satisfies LoadPlan);
    await ready;
    const before = readCpuTime(peer.pid);
    const beganUs = nowUs();
    const result = nextMessage(child);
    child.send('go');
    const load = (await result) as LoadResult;
    const endedUs = nowUs();
    await pause(settleMs);
    const after = readCpuTime(peer.pid);
    const trial: Trial = {
      load,
      cpuSeconds: after.usedSeconds - before.usedSeconds,
      waitedSeconds: after.waitedSeconds - before.waitedSeconds,
      rssBeforeKib,
      rssAfterKib: readRssKib(peer.pid),
      windowUs: [beganUs, endedUs],
    };
    if (load.statuses[200] !== plan.requests) {
      throw new Error(
        `${peer.name}: not every answer was 200: ${JSON.stringify(load.statuses)}; its log: ${peer.logFile}`,
      );
    }
    return trial;
  } finally {
    if (child.connected) child.disconnect();
  }
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
