import type { EventSummary, Events } from '../../events.ts';
import { type Chain, type Finding, readChain } from './audit-chain.ts';
import { openToRead, withFile } from './audit-file.ts';
import { auditFacts, digestOf, sha256 } from './audit-line.ts';
import { eachEvent } from './pages.ts';
import { isoTime } from './time.ts';
import { visible } from './visible.ts';

/** What a file turned out to be. */
export interface Verified {
  readonly lines: number;
  readonly head: string;
  /** How many lines came late; each says so. */
  readonly late: number;
  /** How many finished events of the state were compared; `undefined`: there was no state to compare with. */
  readonly compared: number | undefined;
  /** How many finished since the last run, and have no line yet. */
  readonly waiting: number;
}

export interface VerifyOptions {
  readonly head: string | undefined;
  readonly route: string | undefined;
  /** `undefined`: the file alone is looked at. */
  readonly events: Events | undefined;
}

/**
 * Checks every line of a file, and compares it with the state.
 * @throws CliError where the file or the state cannot be read
 */
export async function verifyFile(
  path: string,
  { head, route, events }: VerifyOptions,
  found: (finding: Finding) => void,
): Promise<Verified> {
  return withFile(path, openToRead(path), async (file) => {
    const chain = await readChain(file, found, head);
    if (chain.torn !== undefined)
      found({
        line: chain.lines + 1,
        problem: 'the last line has no end: a run is under way or was interrupted; the next one repairs it',
      });
    if (head !== undefined && !chain.metHead)
      found({
        line: undefined,
        problem: `no line has the hash ${head} that was noted: lines were cut off at the end, or the file was written anew`,
      });
    const seen = events === undefined ? undefined : await compare(chain, events, route, found);
    return {
      lines: chain.lines,
      head: chain.head,
      late: chain.late,
      compared: seen?.compared,
      waiting: seen?.waiting ?? 0,
    };
  });
}

async function compare(
  chain: Chain,
  events: Events,
  route: string | undefined,
  found: (finding: Finding) => void,
): Promise<{ compared: number; waiting: number }> {
  let compared = 0;
  let waiting = 0;
  for await (const event of eachEvent(events, { route, states: ['delivered', 'dead'] }, 'finished')) {
    const { id, finishedMs } = event;
    if (finishedMs === undefined) continue;
    const line = chain.lineOf(id, finishedMs);
    if (line === undefined && finishedMs >= chain.finishedMs) {
      waiting += 1;
      continue;
    }
    compared += 1;
    const problem =
      line === undefined ? missing(event, finishedMs) : await lineProblem(chain, line, event, events);
    if (problem !== undefined) found({ line, problem });
  }
  return { compared, waiting };
}

function missing({ id, route, state }: EventSummary, finishedMs: number): string {
  return (
    `no line for the event ${visible(id)} of the route ${visible(route)}, ${state} at ${isoTime(finishedMs)}: ` +
    'its line was removed or altered; or, where a clock was set back, the next run adds it'
  );
}

async function lineProblem(
  chain: Chain,
  line: number,
  event: EventSummary,
  events: Events,
): Promise<string | undefined> {
  if (event.unreadable !== undefined) return unread(event.id, event.unreadable);
  const facts = auditFacts(event);
  if (facts === undefined || !chain.says(line, digestOf(facts)))
    return `this line does not say what the state says of the event ${visible(event.id)}: one of the two was altered`;
  const stored = await events.read(event.place);
  // Its retention ended since the page was read.
  if (stored === undefined) return undefined;
  if (stored.unreadable !== undefined) return unread(event.id, stored.unreadable);
  const computed = sha256(stored.body);
  return computed === facts.body_sha256
    ? undefined
    : `the state holds another payload of the event ${visible(event.id)} than the one audited: its SHA-256 is ${computed}`;
}

function unread(id: string, why: string): string {
  return `the payload of the event ${visible(id)} in the state cannot be compared: ${visible(why)}`;
}
