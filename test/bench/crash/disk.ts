import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Operation } from './trace.ts';

/**
 * What of the writes that no sync has confirmed is there when the power comes back: nothing, each write or not, or
 * each sector or not. A disk may keep any of them, in any order.
 */
export const LOSSES = ['all', 'writes', 'sectors'] as const;

export type Loss = (typeof LOSSES)[number];

type Change = Extract<Operation, { kind: 'write' | 'truncate' | 'remove' }>;

export interface Cut {
  readonly loss: Loss;
  /** From 0 to 1: whether a write or a sector is there. */
  readonly random: () => number;
}

const SECTOR_BYTES = 512;

/**
 * Turns files as they were before the operations into what a power failure at their end leaves. What was done before a
 * sync began is there once that has ended; of the rest, what `cut` says. Gives how many writes no sync had confirmed.
 * @param imageOf where the file of an operation stands
 */
export function cutPower(
  operations: Iterable<Operation>,
  imageOf: (file: string) => string,
  cut: Cut,
): number {
  const unconfirmed = new Map<string, Change[]>();
  /** How many changes of its file each sync under way covers, by thread. */
  const covered = new Map<string, { readonly file: string; count: number }>();
  /** What is done with names is held by a sync of their folder. */
  const syncFolder = (folder: string): void => {
    for (const [file, changes] of unconfirmed) {
      const last = changes.findLastIndex(({ kind }) => kind === 'remove');
      if (dirname(file) === folder && last >= 0) apply(changes.splice(0, last + 1), imageOf(file));
    }
  };
  for (const operation of operations) {
    const { file } = operation;
    const changes = unconfirmed.get(file) ?? [];
    unconfirmed.set(file, changes);
    if (operation.kind === 'syncing') covered.set(operation.by, { file, count: changes.length });
    else if (operation.kind === 'synced') {
      syncFolder(file);
      const count = covered.get(operation.by)?.count ?? 0;
      covered.delete(operation.by);
      apply(changes.splice(0, count), imageOf(file));
      // Another sync of the same file may be under way: what it covers has moved up.
      for (const other of covered.values())
        if (other.file === file) other.count = Math.max(0, other.count - count);
    } else changes.push(operation);
  }
  let lost = 0;
  for (const [file, changes] of unconfirmed) {
    lost += changes.length;
    apply(
      changes.flatMap((change) => kept(change, cut)),
      imageOf(file),
    );
  }
  return lost;
}

function kept(change: Change, { loss, random }: Cut): Change[] {
  if (loss === 'all') return [];
  if (loss === 'writes' || change.kind !== 'write') return random() < 0.5 ? [change] : [];
  const sectors: Change[] = [];
  for (let start = 0; start < change.bytes.length; ) {
    const at = change.at + start;
    const end = start + SECTOR_BYTES - (at % SECTOR_BYTES);
    if (random() < 0.5) sectors.push({ ...change, at, bytes: change.bytes.subarray(start, end) });
    start = end;
  }
  return sectors;
}

function apply(changes: readonly Change[], image: string): void {
  if (changes.length === 0) return;
  let file = openSync(image, 'a');
  closeSync(file);
  file = openSync(image, 'r+');
  for (const change of changes) {
    if (change.kind === 'write') writeSync(file, change.bytes, 0, change.bytes.length, change.at);
    else ftruncateSync(file, change.kind === 'truncate' ? change.size : 0);
  }
  closeSync(file);
  if (changes.at(-1)?.kind === 'remove') rmSync(image);
}
