import { parentPort } from 'node:worker_threads';
import { openEngine } from './engine.ts';
import type { Job, Made } from './job.ts';

/** What the gateway's thread sends, and what it gets back. */
export interface Asked {
  readonly number: number;
  readonly job: Job;
}

export interface Answered {
  readonly number: number;
  readonly made: Made;
}

// One after the other: the watch over a script's time is one for the whole thread.
if (parentPort !== null) {
  const port = parentPort;
  const engine = await openEngine();
  let turn = Promise.resolve();
  port.on('message', ({ number, job }: Asked) => {
    turn = turn.then(async () => {
      const made = await engine
        .run(job)
        .catch((error): Made => ({ kind: 'failed', detail: `the interpreter failed: ${error}` }));
      port.postMessage({ number, made } satisfies Answered);
    });
  });
}
