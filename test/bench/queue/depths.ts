import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { ORDINARY } from '../event.ts';
import type { Ground, Peer } from '../ground.ts';
import { findFreePort } from '../spawn.ts';
import { fillState } from './fill.ts';
import { type Gate, openGate } from './gate.ts';

/** A gateway with so many events in its state file, all of them waiting or all of them delivered. */
export interface Depth {
  readonly count: number;
  readonly waits: boolean;
  readonly peer: Peer;
  readonly gate: Gate;
  readonly adminPort: number;
  /** From the start to the first answer, the state file having been filled before. */
  readonly startSeconds: number;
  /** Bytes of the state file after the filling. */
  readonly filledBytes: number;
  sizes(): { readonly file: number; readonly log: number };
}

export const BODY_BYTES = 1024;
const ROUTE = 'codat-events';
const CONCURRENCY = 64;

interface Configuration {
  limits: Record<string, string>;
  upstreams: Record<string, unknown>;
  routes: Record<string, unknown>[];
}

/** Fills a state file and starts a gateway with it; its upstream lets nothing through until it is told to. */
export async function openDepth(ground: Ground, count: number, waits: boolean): Promise<Depth> {
  const gate = await openGate();
  const adminPort = await findFreePort();
  let filledBytes = 0;
  let beganMs = 0;
  const peer = await ground.open('postern', {
    isQueue: true,
    shape: { ...ORDINARY, bodyBytes: BODY_BYTES },
    fillings: { ADMIN: String(adminPort) },
    prepare: async (folder) => {
      if (count > 0)
        await fillState(folder, { count, bodyBytes: BODY_BYTES, isDelivered: !waits, route: ROUTE });
      filledBytes = sizeOf(join(folder, 'postern.db'));
      beganMs = performance.now();
    },
    configure: (yaml) => {
      const configuration = parse(yaml) as Configuration;
      configuration.limits.drain_timeout = '1s';
      configuration.upstreams.sink = { targets: [gate.url], timeout: '1h', late: '0s' };
      Object.assign(configuration.routes[0] as object, { deliver: 'queue', concurrency: CONCURRENCY });
      // JSON is YAML.
      return JSON.stringify(configuration);
    },
  });
  const startSeconds = (performance.now() - beganMs) / 1000;
  const file = join(dirname(peer.logFile), 'postern.db');
  const sizes = () => ({ file: sizeOf(file), log: sizeOf(`${file}-wal`) });
  return { count, waits, peer, gate, adminPort, startSeconds, filledBytes, sizes };
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
