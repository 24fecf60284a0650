import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { cutPower, LOSSES } from './disk.ts';
import type { Crash } from './gateway.ts';
import { seeded } from './random.ts';
import type { Scene } from './scene.ts';
import { readTrace, tracer } from './trace.ts';

const MOST_LOAD_MS = 1000;

export interface CutPlan {
  /** The state file. */
  readonly state: string;
  readonly rounds: number;
  readonly seed: number;
  /** Whether the gateway's own syncs are skipped, which must lose events. */
  readonly skipsSync: boolean;
}

/** What the power failures of a run left. */
export interface Cuts {
  readonly crashes: readonly Crash[];
  /** Writes that no sync had confirmed when the power failed, over all cuts. */
  readonly unconfirmed: number;
  /** Acknowledged events that were not in the state file when the power came back. */
  readonly missing: readonly string[];
}

/**
 * Lets the power fail at random moments, as far as that can be played: the gateway is traced and killed, its state file
 * is made anew from what it had written before each sync that ended, and the next one starts with that.
 */
export async function cutAtRandom(
  scene: Scene,
  acknowledged: ReadonlySet<string>,
  { state, rounds, seed, skipsSync }: CutPlan,
  progress: (round: number) => void,
): Promise<Cuts> {
  const random = seeded(seed);
  const files = ['', '-wal', '-journal'].map((suffix) => state + suffix);
  const images = join(scene.folder, 'images');
  const imageOf = (file: string) => join(images, basename(file));
  mkdirSync(images);
  const log = join(scene.folder, 'trace');
  const how = {
    wrapper: tracer([...files, dirname(state)], log),
    ...(skipsSync && { preload: join(import.meta.dirname, 'skip-sync.mjs') }),
  };
  const crashes: Crash[] = [];
  const missing = new Set<string>();
  let unconfirmed = 0;
  for (let round = 1; round <= rounds; round += 1) {
    for (const file of files.filter(existsSync)) cpSync(file, imageOf(file));
    const gateway = scene.start(0, how);
    await gateway.ready;
    await pause(random() * MOST_LOAD_MS);
    crashes.push(await gateway.kill9());
    const known = [...acknowledged];
    const loss = LOSSES[Math.floor(random() * LOSSES.length)] ?? 'all';
    unconfirmed += cutPower(readTrace(log), imageOf, { loss, random });
    for (const file of [...files, `${state}-shm`]) rmSync(file, { force: true });
    for (const file of files) if (existsSync(imageOf(file))) renameSync(imageOf(file), file);
    const there = eventsIn(files, join(scene.folder, 'look'));
    for (const id of known) if (!there.has(id)) missing.add(id);
    progress(round);
  }
  return { crashes, unconfirmed, missing: [...missing] };
}

/**
 * The message ids that the next start will find, from copies: to look is to change.
 * @throws Error where the file is damaged
 */
function eventsIn(files: readonly string[], folder: string): ReadonlySet<string> {
  mkdirSync(folder);
  for (const file of files.filter(existsSync)) cpSync(file, join(folder, basename(file)));
  const database = new DatabaseSync(join(folder, basename(files[0] as string)));
  try {
    const verdict = database.prepare('PRAGMA integrity_check').get()?.integrity_check;
    if (verdict !== 'ok') throw new Error(String(verdict));
    const isThere = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'events'").get() !== undefined;
    const rows = isThere ? database.prepare('SELECT message_id AS id FROM events').all() : [];
    return new Set(rows.map(({ id }) => String(id)));
  } catch (error) {
    throw new Error(`the power failure has damaged the state file: ${(error as Error).message}`);
  } finally {
    database.close();
    rmSync(folder, { recursive: true });
  }
}
