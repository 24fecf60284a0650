import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { findFreePort, LOAD_CORE } from '../spawn.ts';

/** An upstream that takes deliveries only when it is told to. */
export interface Gate {
  readonly url: string;
  /** Lets so many deliveries through; resolves with the seconds that they took. */
  pass(count: number): Promise<number>;
  close(): void;
}

const START_MS = 300;

export async function openGate(): Promise<Gate> {
  const port = await findFreePort();
  const script = join(import.meta.dirname, '../load/gate.ts');
  const child = spawn('taskset', ['-c', LOAD_CORE, process.execPath, script, String(port)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  // Who comes too early is held at the gateway, and tries again.
  await pause(START_MS);
  return {
    url: `http://127.0.0.1:${port}`,
    pass: async (count) => {
      const passed = once(child, 'message');
      child.send(count);
      return Number((await passed)[0]);
    },
    close: () => child.disconnect(),
  };
}
