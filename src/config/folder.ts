import { hash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileTrouble } from './files.ts';

/** `${dir:PATH/}`, the files that are named after the route; or `${dir:PATH/*}`, all of them. */
export interface FolderReference {
  /** As it is written, without the star. */
  readonly path: string;
  readonly isAll: boolean;
}

/** A folder whose files were read by their names. */
export interface SecretFolder {
  /** Absolute. */
  readonly path: string;
  readonly names: readonly string[];
}

/** Each of them would be tried for every message. */
const MOST_FILES = 64;
/** `acme`, and in a rotation `acme.old`, `acme.old2` … */
const OLDER = /^\.old\d{0,3}$/;

/** Reads an entry of a list that is nothing but a folder. @returns `undefined` where it is none */
export function folderReference(text: string): FolderReference | undefined {
  const [, path] = /^\$\{dir:([^{}]*)\}$/.exec(text) ?? [];
  if (path === undefined) return undefined;
  return path.endsWith('/*') ? { path: path.slice(0, -1), isAll: true } : { path, isAll: false };
}

/**
 * The files that a reference stands for, in their order: the route's own, then its older ones; or all by name.
 * @param route the name of the route
 * @param list lists a folder
 */
export function filesOf(
  { path, isAll }: FolderReference,
  route: string | undefined,
  {
    folder,
    list,
    isRoute,
  }: { folder: string; list: (path: string) => SecretFolder; isRoute: (name: string) => boolean },
): { readonly files: readonly string[] } | { readonly problem: string } {
  if (!path.endsWith('/') || path.includes('${'))
    return { problem: `a folder is written \${dir:PATH/}, for all its files \${dir:PATH/*}` };
  let found: SecretFolder;
  try {
    found = list(resolve(folder, path));
  } catch (error) {
    return { problem: `cannot read the folder ${resolve(folder, path)}: ${folderTrouble(error)}` };
  }
  const { names } = found;
  if (names.length === 0)
    return { problem: `the folder ${found.path} holds no file (hidden ones do not count); put one in it` };
  if (isAll) {
    return names.length > MOST_FILES
      ? {
          problem: `the folder ${found.path} holds ${names.length} files, and each would be tried for every message; ${MOST_FILES} is the most`,
        }
      : { files: names.map((name) => join(found.path, name)) };
  }
  if (route === undefined)
    return {
      problem: `\${dir:PATH/} takes the files that are named after the route, for its signature; for all files write \${dir:PATH/*}`,
    };
  if (!names.includes(route))
    return {
      problem: `the folder ${found.path} holds no file named ${route}, as this route is; add it, or for all its files write \${dir:PATH/*}`,
    };
  const older = names.filter((name) => name.startsWith(route) && OLDER.test(name.slice(route.length)));
  const another = older.find(isRoute);
  if (another !== undefined)
    return {
      problem: `the file ${another} of the folder ${found.path} is an older secret of the route ${route}, and that of the route ${another}, which could then send as ${route}; give one of the two another name`,
    };
  return { files: [route, ...older].map((name) => join(found.path, name)) };
}

function folderTrouble(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'there is no such folder';
  return code === 'ENOTDIR' ? 'it is not a folder' : fileTrouble(error);
}

/** A name under which the list of a folder is noted beside the files that were read. */
export function listNote(folder: string): string {
  return `${folder}/`;
}

export function isListNote(name: string): boolean {
  return name.endsWith('/');
}

/** Lists the files of a folder in natural order. @throws what readdirSync throws */
export function listFolder(path: string): SecretFolder & { readonly digest: string } {
  const entries = visible(readdirSync(path));
  const names = entries.filter((name) => isFile(join(path, name))).sort(inOrder);
  return { path, names, digest: digestOf(entries) };
}

/** What `listFolder` gave when a folder held the same names. @returns `undefined` where it cannot be read */
export async function listDigest(note: string): Promise<string | undefined> {
  return readdir(note).then(
    (entries) => digestOf(visible(entries)),
    () => undefined,
  );
}

/** Kubernetes keeps what the names lead to in hidden folders; editors keep their copies in hidden files. */
function visible(names: readonly string[]): string[] {
  return names.filter((name) => !name.startsWith('.'));
}

function digestOf(names: readonly string[]): string {
  return hash('sha256', JSON.stringify(names.toSorted()));
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Digits count as numbers: `key-2` before `key-10`. */
function inOrder(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true }) || (a < b ? -1 : 1);
}
