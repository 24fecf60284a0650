import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import type { Crash, Gateway } from './gateway.ts';
import { seeded } from './random.ts';
import { nowUs } from './record.ts';
import type { Scene } from './scene.ts';

/** A kill comes so long after the gateway has begun to listen, at most. */
const MOST_LOAD_MS = 1000;
/** One kill in so many comes while the gateway starts, however far that is, */
const EARLY_EACH = 8;
const MOST_EARLY_MS = 600;
/** and one in so many meets all gateways at once. */
const ALL_EACH = 8;

export interface KillPlan {
  readonly rounds: number;
  readonly gateways: number;
  readonly seed: number;
}

/** A crash, with what was leased at that moment. */
export interface Kill extends Crash {
  /** Message ids; `undefined`: others go on with the same state, or it is no file. */
  readonly leased: ReadonlySet<string> | undefined;
}

/** Kills one gateway after the other at random moments, and starts each again at once. */
export async function killAtRandom(
  scene: Scene,
  { rounds, gateways, seed }: KillPlan,
  progress: (round: number) => void,
): Promise<{ readonly kills: readonly Kill[]; readonly running: readonly Gateway[] }> {
  const random = seeded(seed);
  const isOneIn = (count: number) => random() < 1 / count;
  const running = Array.from({ length: gateways }, (_, place) => scene.start(place));
  const startedUs = running.map(nowUs);
  const kills: Kill[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const place = Math.floor(random() * gateways);
    const isEarly = isOneIn(EARLY_EACH);
    const waitMs = random() * (isEarly ? MOST_EARLY_MS : MOST_LOAD_MS);
    const victims = isOneIn(ALL_EACH) ? running.map((_, at) => at) : [place];
    if (isEarly) await pause(Math.max(0, waitMs - (nowUs() - (startedUs[place] as number)) / 1000));
    else {
      await Promise.all(running.map(({ ready }) => ready));
      await pause(waitMs);
    }
    const crashes = await Promise.all(victims.map((at) => (running[at] as Gateway).kill9()));
    const leased = gateways === 1 && scene.state !== undefined ? leasedIn(scene.state) : undefined;
    kills.push(...crashes.map((crash) => ({ ...crash, leased })));
    for (const at of victims) {
      running[at] = scene.start(at);
      startedUs[at] = nowUs();
    }
    progress(round);
  }
  return { kills, running };
}

/** Read only, so that the next start finds the file and its log as the crash left them. */
function leasedIn(path: string): ReadonlySet<string> {
  // Killed before it had made one.
  if (!existsSync(path)) return new Set();
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = database.prepare("SELECT message_id AS id FROM events WHERE state = 'delivering'").all();
    return new Set(rows.map(({ id }) => String(id)));
  } finally {
    database.close();
  }
}
