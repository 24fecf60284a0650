import type { FileHandle } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Events } from '../../events.ts';
import { CliError } from '../exit.ts';
import { type Chain, type Finding, readChain } from './audit-chain.ts';
import { lock, openToAppend, withFile } from './audit-file.ts';
import { auditFacts, readLine, writeLine } from './audit-line.ts';
import { eachEvent } from './pages.ts';
import { visible } from './visible.ts';
import { count } from './words.ts';

/** What a run added to a file. */
export interface Appended {
  readonly appended: number;
  readonly lines: number;
  /** The hash of the last line. */
  readonly head: string;
  /** How many finished events have no line, since their payload's SHA-256 could not be read; and why, of the first. */
  readonly unreadable: number;
  readonly problem: string | undefined;
  /** What was done about a torn last line. */
  readonly repaired: string | undefined;
}

/** An event is in the state this long after its time at the latest, whichever process wrote it down. */
const SETTLING_MS = 1000;
const BATCH_LINES = 500;

/**
 * Adds a line for every finished event that the file does not hold yet, in order of finish time.
 * @throws CliError where the file is broken, which is then left as it is, or cannot be written to
 */
export async function appendFinished(events: Events, path: string, route?: string): Promise<Appended> {
  return withFile(path, openToAppend(path), async (file) => {
    const unlock = lock(path);
    try {
      return await append(events, path, file, route);
    } finally {
      unlock();
    }
  });
}

async function append(
  events: Events,
  path: string,
  file: FileHandle,
  route: string | undefined,
): Promise<Appended> {
  const refuse = (finding: Finding): never => {
    throw new CliError(
      `${findingText(path, finding)}; nothing was appended: --verify tells all that is wrong`,
    );
  };
  let chain = await readChain(file, refuse);
  const repaired = chain.torn === undefined ? undefined : await repair(path, file, chain);
  if (repaired !== undefined) chain = await readChain(file, refuse);
  const startedMs = Date.now();
  const filter = { route, states: ['delivered', 'dead'] as const };
  // What has only just finished may still be on its way into the state, behind something that finished later.
  await pause(SETTLING_MS);

  let { n, head: previous, finishedMs: lastMs, bytes } = chain;
  let batch: string[] = [];
  let unreadable = 0;
  let problem: string | undefined;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    bytes += await writeWhole(path, file, bytes, batch.join(''));
    batch = [];
  };
  for await (const event of eachEvent(events, filter, 'finished')) {
    const facts = auditFacts(event);
    const { finishedMs } = event;
    if (facts === undefined || finishedMs === undefined) continue;
    if (finishedMs > startedMs) break;
    if (chain.lineOf(event.id, finishedMs) !== undefined) continue;
    if (event.unreadable !== undefined) {
      unreadable += 1;
      problem ??= `event ${visible(event.id)}: ${visible(event.unreadable)}`;
      continue;
    }
    const line = writeLine(facts, { n: n + 1, late: finishedMs < lastMs, previous });
    n += 1;
    previous = line.hash;
    lastMs = Math.max(lastMs, finishedMs);
    if (batch.push(`${line.text}\n`) === BATCH_LINES) await flush();
  }
  await flush();
  return { appended: n - chain.n, lines: n, head: previous, unreadable, problem, repaired };
}

/**
 * One write and one fsync; what was written in part is taken back.
 * @returns how many bytes
 */
async function writeWhole(path: string, file: FileHandle, size: number, text: string): Promise<number> {
  try {
    await file.appendFile(text);
    await file.datasync();
    return Buffer.byteLength(text);
  } catch (error) {
    await file.truncate(size).catch(() => undefined);
    throw new CliError(
      `${path}: ${(error as Error).message}; what is in it stays, the next run goes on there`,
    );
  }
}

/**
 * A run that was interrupted leaves the beginning of a line: its event is in the state still, and comes again.
 * @returns what was done
 * @throws CliError where it is something else, which is left as it is
 */
async function repair(path: string, file: FileHandle, { torn, bytes, lines, n }: Chain): Promise<string> {
  const text = torn?.bytes ?? Buffer.alloc(0);
  const where = `${path}:${lines + 1}`;
  if (typeof readLine(text) !== 'string') {
    await file.appendFile('\n');
    return `${where}: the last line had no end, which was added: an earlier run was interrupted`;
  }
  const beginning = Buffer.from(`{"n":${n + 1},`);
  const shared = Math.min(beginning.length, text.length);
  if (text.compare(beginning, 0, shared, 0, shared) !== 0)
    throw new CliError(
      lines === 0
        ? `${path}: this is no file of an audit; name a new one`
        : `${where}: what stands behind the last whole line is not the beginning of the next; nothing was appended. ` +
            `After a look at it, cut it off: truncate -s ${bytes} ${path}`,
    );
  await file.truncate(bytes);
  return `${where}: the last line was torn (${count(text.length, 'byte')} without an end) and was cut off: an earlier run was interrupted`;
}

/** `FILE:LINE: problem`. */
export function findingText(path: string, { line, problem }: Finding): string {
  return `${path}${line === undefined ? '' : `:${line}`}: ${problem}`;
}
