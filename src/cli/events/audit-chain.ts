import type { FileHandle } from 'node:fs/promises';
import { type FileLine, linesOf } from './audit-file.ts';
import { type AuditLine, digestOf, GENESIS, keyOf, readLine } from './audit-line.ts';

/** Something that is not as it was written. */
export interface Finding {
  /** From 1; `undefined`: it belongs to no line. */
  readonly line: number | undefined;
  readonly problem: string;
}

/** A file that has been read: what is needed to go on with it, and to compare it. */
export interface Chain {
  /** Lines that are whole. */
  readonly lines: number;
  /** The number and the hash of the line that the next one follows. */
  readonly n: number;
  readonly head: string;
  /** The latest time at which any event finished; `-Infinity`: there is none. */
  readonly finishedMs: number;
  /** How many lines came late. */
  readonly late: number;
  /** The bytes of whole lines. */
  readonly bytes: number;
  /** What follows the last whole line. */
  readonly torn: FileLine | undefined;
  /** Whether a line has this hash: the head that was noted down earlier. */
  readonly metHead: boolean;
  /** The line of an event that finished then; `undefined`: there is none. */
  lineOf(id: string, finishedMs: number): number | undefined;
  /** Whether that line says this. */
  says(line: number, digest: Buffer): boolean;
}

/**
 * Reads a file line by line and says what is wrong with it. Kept in memory: 16 bytes and a key for each line.
 * @param head the hash of a line, as it was noted down earlier
 */
export async function readChain(
  file: FileHandle,
  found: (finding: Finding) => void,
  head?: string,
): Promise<Chain> {
  const keys = new Map<string, number>();
  let digests = Buffer.alloc(16 * 1024);
  let lines = 0;
  let late = 0;
  let bytes = 0;
  let torn: FileLine | undefined;
  let metHead = head === GENESIS;
  // Of the line with the highest number: after one that was moved, the chain goes on where it was.
  let last: Pick<AuditLine, 'n' | 'finishedMs'> & { hash: string | undefined } = {
    n: 0,
    hash: GENESIS,
    finishedMs: Number.NEGATIVE_INFINITY,
  };
  for await (const one of linesOf(file)) {
    if (!one.hasEnd) {
      torn = one;
      break;
    }
    lines += 1;
    bytes = one.offset + one.bytes.length + 1;
    const line = readLine(one.bytes);
    if (typeof line === 'string') {
      found({ line: lines, problem: line });
      // It stands for the number that was due; nothing can be said of what follows it.
      last = { ...last, n: last.n + 1, hash: undefined };
      continue;
    }
    const key = keyOf(line.facts.id, line.finishedMs);
    const problem = placeProblem(line, last, keys.get(key));
    if (problem !== undefined) found({ line: lines, problem });
    if (!keys.has(key)) keys.set(key, lines);
    if (digests.length < lines * 16) digests = Buffer.concat([digests, Buffer.alloc(digests.length)]);
    digests.set(digestOf(line.facts), (lines - 1) * 16);
    if (line.hash === head) metHead = true;
    if (line.late) late += 1;
    if (line.n > last.n)
      last = { n: line.n, hash: line.hash, finishedMs: Math.max(line.finishedMs, last.finishedMs) };
  }
  return {
    lines,
    n: last.n,
    head: last.hash ?? '',
    finishedMs: last.finishedMs,
    late,
    bytes,
    torn,
    metHead,
    lineOf: (id, finishedMs) => keys.get(keyOf(id, finishedMs)),
    says: (line, digest) => digests.subarray((line - 1) * 16, line * 16).equals(digest),
  };
}

/** What is wrong with a line's place among the others; `undefined`: it stands where it was written. */
function placeProblem(
  line: AuditLine,
  last: { readonly n: number; readonly hash: string | undefined; readonly finishedMs: number },
  copyOf: number | undefined,
): string | undefined {
  const due = last.n + 1;
  if (copyOf !== undefined) return `this line repeats line ${copyOf}: both are of the event ${line.facts.id}`;
  if (line.n < due) return `this line is out of order: it is number ${line.n} and follows number ${last.n}`;
  if (line.n > due) {
    const missing = line.n - due === 1 ? `number ${due} is` : `numbers ${due} to ${line.n - 1} are`;
    return `${missing} missing before this line, which is number ${line.n}`;
  }
  if (last.hash !== undefined && line.previous !== last.hash)
    return 'this line does not continue the one before it: that one was replaced, or this one';
  if (line.late !== line.finishedMs < last.finishedMs)
    return line.late
      ? 'this line says that it came late, and its event did not finish before those of earlier lines'
      : 'this line does not say that it came late, and its event finished before those of earlier lines';
  return undefined;
}
