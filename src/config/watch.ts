import { hash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { FileNotes } from './document.ts';
import { isListNote, listDigest } from './folder.ts';

const POLL_MS = 500;
/** Many files are looked at less often, so that looking never costs a visible part of a core. */
const POLL_MS_PER_FILE = 10;

export interface FileWatch {
  /** Looks at these files from now on: what they held when they were read. */
  watch(files: FileNotes): void;
  close(): void;
}

/**
 * Calls `changed` when a file no longer holds what was read of it, and has not changed since the look before: a file
 * that is being written is not half a file. Files are looked at, not listened to: it works the same for a mounted
 * file, a network disk, and Kubernetes' folders, whose links are switched all at once.
 */
export function watchFiles(changed: () => void): FileWatch {
  let files: FileNotes = new Map();
  let stamps = new Map<string, string>();
  let isPending = false;
  let timer: NodeJS.Timeout | undefined;
  let generation = 0;

  async function look(): Promise<void> {
    const mine = generation;
    const now = new Map<string, string>();
    for (const file of files.keys()) now.set(file, await stampOf(file));
    const moved = [...now].filter(([file, stamp]) => stamps.get(file) !== stamp).map(([file]) => file);
    const differs = moved.length > 0 && (await anyDiffers(moved, files));
    if (mine !== generation) return;
    stamps = now;
    if (differs) isPending = true;
    else if (moved.length === 0 && isPending) {
      isPending = false;
      if (await anyDiffers([...files.keys()], files)) changed();
    }
    if (mine === generation) plan();
  }

  function plan(): void {
    const waitMs = Math.max(POLL_MS, files.size * POLL_MS_PER_FILE);
    timer = setTimeout(() => void look(), waitMs).unref();
  }

  return {
    watch: (noted) => {
      generation += 1;
      clearTimeout(timer);
      files = new Map(noted);
      // Nothing is known of when these were written: the first look compares what they hold.
      stamps = new Map();
      isPending = false;
      plan();
    },
    close: () => {
      generation += 1;
      clearTimeout(timer);
    },
  };
}

/** What changes with every way of writing or replacing a file; links are followed. */
async function stampOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

async function anyDiffers(names: readonly string[], files: FileNotes): Promise<boolean> {
  for (const name of names) {
    const digest = isListNote(name) ? await listDigest(name) : await fileDigest(name);
    if (digest !== files.get(name)) return true;
  }
  return false;
}

function fileDigest(name: string): Promise<string | undefined> {
  return readFile(name).then(
    (bytes) => hash('sha256', bytes),
    () => undefined,
  );
}
