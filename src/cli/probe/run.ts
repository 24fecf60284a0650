import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { decideNext, readRetryAfter } from '../send/rules.ts';
import type { Case, Shot } from './case.ts';
import { asksForLater, judge, type Verdict, worst } from './expect.ts';
import { encode } from './message.ts';
import type { Stage } from './stage.ts';
import { type Came, exchange } from './wire.ts';

/** What became of a case. */
export interface Result {
  readonly case: Case;
  readonly came: readonly Came[];
  readonly verdict: 'right' | 'doubtful' | 'miss' | 'not judged' | 'left out';
  /** Why it was not judged or left out, or which of several requests was the wrong one. */
  readonly note: string | undefined;
}

/** How much time there is, milliseconds. */
export interface Pace {
  /** For all cases together. */
  readonly totalMs: number;
  /** For the first answer, on which all depends; and for every other. */
  readonly firstMs: number;
  readonly eachMs: number;
  readonly isSlow: boolean;
}

/** Between two requests, so that a probe is no flood. */
const BETWEEN_MS = 25;
/** A receiver that asks to come again later is waited for so long, once in a case. */
const MOST_WAIT_MS = 3_000;

/**
 * Tries the cases in order, one request at a time but for copies, and tells `report` of each as it is there. Where the
 * first, the good event, is not accepted, nothing else is tried: whatever is refused then would prove nothing.
 */
export async function runCases(
  stage: Stage,
  cases: readonly Case[],
  pace: Pace,
  report: (result: Result) => void,
): Promise<Result[]> {
  const endMs = performance.now() + pace.totalMs;
  const results: Result[] = [];
  for (const [place, each] of cases.entries()) {
    const result = await tryCase(stage, each, place === 0, pace, endMs);
    results.push(result);
    report(result);
    if (place === 0 && result.verdict !== 'right') break;
  }
  return results;
}

async function tryCase(
  stage: Stage,
  each: Case,
  isFirst: boolean,
  pace: Pace,
  endMs: number,
): Promise<Result> {
  const none = { case: each, came: [] };
  const lacks = each.lacks ?? (each.slowMs && !pace.isSlow ? 'it is slow: try it with --slow' : undefined);
  if (lacks !== undefined) return { ...none, verdict: 'left out', note: lacks };
  const deadlineMs = each.slowMs ?? (isFirst ? pace.firstMs : pace.eachMs);
  const leftMs = (): number => Math.min(deadlineMs, endMs - performance.now());
  if (leftMs() <= 0) return { ...none, verdict: 'not judged', note: 'the time was used up before it' };

  await pause(isFirst ? 0 : BETWEEN_MS);
  const shots = each.make();
  const fire = (shot: Shot): Promise<Came> => fireAt(stage, shot, leftMs);
  const isOver = (): boolean => performance.now() >= endMs;
  const came =
    each.order === 'copies' ? await Promise.all(shots.map(fire)) : await inTurn(shots, fire, isOver);
  const isCutShort = came.length < shots.length || came.some(({ kind }) => kind === 'silent');
  if (isCutShort && isOver())
    return { case: each, came, verdict: 'not judged', note: 'the time was used up' };
  return { case: each, came, ...judgeCase(stage, each, shots, came) };
}

async function inTurn(
  shots: readonly Shot[],
  fire: (shot: Shot) => Promise<Came>,
  isOver: () => boolean,
): Promise<Came[]> {
  const came: Came[] = [];
  for (const [place, shot] of shots.entries()) {
    if (place > 0) await pause(BETWEEN_MS);
    if (isOver()) break;
    came.push(await fire(shot));
  }
  return came;
}

async function fireAt(stage: Stage, { message, identity }: Shot, leftMs: () => number): Promise<Came> {
  const once = (): Promise<Came> =>
    exchange(stage.destination, identity, encode(message), Math.max(1, leftMs()));
  const came = await once();
  if (came.kind !== 'answer' || !asksForLater(came)) return came;
  const askedMs = Math.max(BETWEEN_MS, readRetryAfter(came.retryAfter, Date.now()) ?? 1_000);
  if (askedMs > MOST_WAIT_MS || askedMs >= leftMs()) return came;
  await pause(askedMs);
  return once();
}

type Judged = Pick<Result, 'verdict' | 'note'>;

function judgeCase(stage: Stage, each: Case, shots: readonly Shot[], came: readonly Came[]): Judged {
  if (each.order === 'copies') return judgeCopies(stage, came);
  if (each.order === 'each') return judgeEach(each, shots, came);
  const [last] = came.slice(-1);
  if (last === undefined) return { verdict: 'not judged', note: 'nothing was sent' };
  if (came.slice(0, -1).some((before) => !isAccepted(before)))
    return { verdict: 'not judged', note: 'the event before it was not accepted' };
  return told(judge(last, each.expected), undefined);
}

function judgeEach(each: Case, shots: readonly Shot[], came: readonly Came[]): Judged {
  const verdicts = came.map((one) => judge(one, each.expected));
  const verdict = worst(verdicts);
  const { label } = shots[verdicts.indexOf(verdict)] ?? {};
  return told(verdict, verdict === 'right' || label === undefined ? undefined : `that is for ${label}`);
}

/** One of both is accepted; the other as well, or in a way that the sender comes again. */
function judgeCopies({ profile }: Stage, came: readonly Came[]): Judged {
  const others = came.filter((one) => !isAccepted(one));
  if (others.length === came.length) return told(came.every(asksForLater) ? 'asked' : 'miss', undefined);
  const isLost = others.some(
    (one) => one.kind === 'answer' && decideNext(profile, one, 1, Date.now()).kind === 'give-up',
  );
  const isBroken = others.some(({ kind }) => kind !== 'answer');
  return told(isLost ? 'miss' : isBroken ? 'doubtful' : 'right', undefined);
}

function told(verdict: Verdict, note: string | undefined): Judged {
  if (verdict !== 'asked') return { verdict, note };
  return { verdict: 'not judged', note: 'the receiver asked to come again later' };
}

function isAccepted(came: Came): boolean {
  return came.kind === 'answer' && came.status >= 200 && came.status < 300;
}
