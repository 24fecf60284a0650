import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CliError } from '../exit.ts';

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const CHUNK_BYTES = 256 * 1024;
/** No line of ours is as long: headers are bounded, and nothing else a sender chooses is in it. */
const LONGEST_LINE = 1024 * 1024;

/** One line of a file, its end cut off. */
export interface FileLine {
  readonly bytes: Buffer;
  /** Where it begins in the file. */
  readonly offset: number;
  /** Only the last can be without an end: it is torn. */
  readonly hasEnd: boolean;
}

/**
 * Opens the file of an audit for appending, or makes it, for its owner only.
 * @throws CliError where it is none to append to: a link might lead elsewhere, a device keeps nothing
 */
export async function openToAppend(path: string): Promise<FileHandle> {
  const file = await opened(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK);
  // A name that is not on the disk is a file that is gone after a power failure.
  const folder = await open(dirname(path), O_RDONLY);
  await folder.sync().finally(() => folder.close());
  return file;
}

/** Opens the file of an audit for reading. @throws CliError where there is none */
export function openToRead(path: string): Promise<FileHandle> {
  return opened(path, O_RDONLY | O_NONBLOCK);
}

/**
 * Works on an open file and closes it.
 * @throws CliError where the disk refuses
 */
export async function withFile<T>(
  path: string,
  opening: Promise<FileHandle>,
  work: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await opening;
  try {
    return await work(file);
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException;
    throw OF_FILES.has(syscall) ? new CliError(`${path}: ${message}`) : error;
  } finally {
    await file.close();
  }
}

const OF_FILES: ReadonlySet<string | undefined> = new Set(['read', 'write', 'ftruncate', 'fdatasync']);

/**
 * Keeps every other writer away from an audit: two would each continue the same line. The lock is on a file of its own
 * and ends with the process, however that ends.
 * @returns what lets the next one in
 * @throws CliError while another process has it
 */
export function lock(path: string): () => void {
  const database = new DatabaseSync(`${path}-lock`, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
    return () => database.close();
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode !== BUSY)
      throw new CliError(`${path}-lock: ${(error as Error).message}`);
    throw new CliError(
      `${path}: another \`postern events audit\` writes to it now; try again when that has ended`,
    );
  }
}

/** SQLite's result code, https://www.sqlite.org/rescode.html */
const BUSY = 5;

/** The lines of a file, one at a time. After one that is no line of ours by its length alone nothing more comes. */
export async function* linesOf(file: FileHandle): AsyncGenerator<FileLine, void, void> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let rest: Buffer = Buffer.alloc(0);
  let offset = 0;
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    const bytes = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    let start = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
      yield { bytes: bytes.subarray(start, end), offset: offset + start, hasEnd: true };
      start = end + 1;
    }
    rest = bytes.subarray(start);
    offset += start;
    if (rest.length > LONGEST_LINE) {
      // Not called torn: more lines may follow, and a torn one is cut off.
      yield { bytes: rest, offset, hasEnd: true };
      return;
    }
  }
  if (rest.length > 0) yield { bytes: rest, offset, hasEnd: false };
}

async function opened(path: string, flags: number): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, flags, 0o600);
  } catch (error) {
    throw new CliError(`${path}: ${whyNot(error as NodeJS.ErrnoException)}`);
  }
  const facts = await file.stat();
  if (!facts.isFile()) {
    await file.close();
    throw new CliError(`${path}: this is no regular file, so it keeps no audit`);
  }
  if ((facts.mode & 0o022) !== 0)
    process.stderr.write(`note: ${path}: others than its owner may write to it; chmod 600 keeps them out\n`);
  return file;
}

function whyNot({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ELOOP':
      return 'this is a symbolic link, which somebody could point elsewhere; name the file itself';
    case 'ENOENT':
      return 'there is no such file, or no such folder to make it in';
    case 'EISDIR':
      return 'this is a folder; name a file';
    case 'EACCES':
    case 'EPERM':
      return 'this user may not open it; be the one that made it';
    default:
      return message;
  }
}
