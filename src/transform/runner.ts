import { Worker } from 'node:worker_threads';
import type { Job, Made } from './job.ts';
import type { Answered, Asked } from './thread.ts';

/** Runs scripts beside the event loop. */
export interface Runner {
  /**
   * Starts the thread unless it runs.
   * @throws Error where the process may not start one
   */
  start(): void;
  /** Never rejects. @param lane whose messages stand in one line: the lines take turns */
  run(lane: string, job: Job): Promise<Made>;
  close(): Promise<void>;
}

/** Handed over to the thread at one time: enough to keep it busy, so few that no line waits long behind another. */
const HANDED = 2;
/** In each line; a script that is too slow for what comes must not fill the memory. */
const WAITING = 256;
/** A script that is too slow for what comes must not hold an event longer than its claim. */
const LONGEST_WAIT_MS = 1000;
/** A thread that has not answered in this time beyond the script's own is stuck. */
const SPARE_MS = 5000;
/** In a starved process a script is run again, with more patience. */
const MOST_RUNS = 5;

const MISSING =
  "a transformation runs in a thread of its own, and Node's permission flags do not allow one; start with --allow-worker (the gateway gives that permission up once its thread runs)";
const ENDED =
  'the thread of the transformations has ended, and the permission for another was given up; restart the gateway';
const GONE: Made & { readonly kind: 'failed' } = {
  kind: 'failed',
  detail: 'the thread of the transformations has ended',
};
const TOO_SLOW: Made = {
  kind: 'failed',
  detail: 'its script is too slow for what comes: too many wait, or too long',
};

interface Waiting {
  readonly job: Job;
  readonly resolve: (made: Made) => void;
  readonly sinceMs: number;
}

/** @param failed told when the thread ends by itself; it is started again at the next message where that is allowed */
export function openRunner(failed: (error: unknown) => void): Runner {
  const lanes = new Map<string, Waiting[]>();
  const handed = new Map<number, { resolve: (made: Made) => void; timer: NodeJS.Timeout }>();
  let worker: Worker | undefined;
  let hasRun = false;
  let last = 0;

  function start(): void {
    if (worker !== undefined) return;
    if (process.permission?.has('worker') === false) throw new Error(hasRun ? ENDED : MISSING);
    const file = import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js';
    const started = new Worker(new URL(file, import.meta.url), { name: 'transform', env: {} });
    // A request that waits keeps the process by its socket; the thread alone must not.
    started.unref();
    started.on('message', ({ number, made }: Answered) => settle(number, made));
    started.on('error', failed);
    started.on('exit', () => {
      if (worker === started) {
        worker = undefined;
        failed(new Error(GONE.detail));
      }
      for (const number of [...handed.keys()]) settle(number, GONE);
    });
    worker = started;
    hasRun = true;
    dropPermission();
  }

  function settle(number: number, made: Made): void {
    const waiting = handed.get(number);
    if (waiting === undefined) return;
    handed.delete(number);
    clearTimeout(waiting.timer);
    waiting.resolve(made);
    handOver();
  }

  function handOver(): void {
    while (handed.size < HANDED && lanes.size > 0) {
      const [lane, line] = lanes.entries().next().value as [string, Waiting[]];
      const { job, resolve, sinceMs } = line.shift() as Waiting;
      // To the end of the turn, or out of it.
      lanes.delete(lane);
      if (line.length > 0) lanes.set(lane, line);
      if (performance.now() - sinceMs > LONGEST_WAIT_MS) resolve(TOO_SLOW);
      else send(job, resolve);
    }
  }

  function send(job: Job, resolve: (made: Made) => void): void {
    try {
      start();
    } catch (error) {
      resolve({ kind: 'failed', detail: (error as Error).message });
      return;
    }
    last += 1;
    const number = last;
    const timer = setTimeout(
      () => {
        failed(new Error(`the thread of the transformations is stuck in ${job.script.name}`));
        void worker?.terminate();
      },
      job.script.timeoutMs * MOST_RUNS * HANDED + SPARE_MS,
    ).unref();
    handed.set(number, { resolve, timer });
    // A copy of its own, handed over: cloning a view would clone the whole pool that it is a view of.
    const body = new Uint8Array(job.body);
    worker?.postMessage({ number, job: { ...job, body } } satisfies Asked, [body.buffer]);
  }

  return {
    start,
    run: (lane, job) =>
      new Promise((resolve) => {
        const line = lanes.get(lane) ?? [];
        if (line.length >= WAITING) {
          resolve(TOO_SLOW);
          return;
        }
        line.push({ job, resolve, sinceMs: performance.now() });
        lanes.set(lane, line);
        handOver();
      }),
    close: async () => {
      const ending = worker;
      worker = undefined;
      await ending?.terminate();
    },
  };
}

/** With it, code of a stranger in this thread could start another one that is under no permission at all. */
function dropPermission(): void {
  const { permission } = process as { permission?: { drop?: (scope: string) => void } };
  permission?.drop?.('worker');
}
