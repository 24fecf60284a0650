import { statSync } from 'node:fs';

const TROUBLES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  ERR_ACCESS_DENIED: "Node's permission flags do not allow it; start with --allow-fs-read for its folder",
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  ELOOP: 'its links go in a circle',
};

/** Why a file could not be read, as the end of a sentence. */
export function fileTrouble(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  return TROUBLES[code] ?? code;
}

/** Who besides its owner may do anything with a file, and the mode that leaves out those who need not. */
export interface Audience {
  readonly who: 'other users' | 'its group';
  readonly mode: '600' | '640';
}

/**
 * Who else may use a file, judged by what a link leads to. A group that another owner gave it to is no stranger: that
 * is how a service reads what root owns.
 */
export function audienceOf(file: string): Audience | undefined {
  const { mode, uid } = statSync(file);
  const isOwn = uid === process.getuid?.();
  if ((mode & 0o007) !== 0) return { who: 'other users', mode: isOwn ? '600' : '640' };
  return isOwn && (mode & 0o070) !== 0 ? { who: 'its group', mode: '600' } : undefined;
}

/** Whether everybody may put another text into a file. */
export function isWritableByAll(file: string): boolean {
  return (statSync(file).mode & 0o002) !== 0;
}
