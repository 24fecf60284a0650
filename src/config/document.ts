import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isScalar, LineCounter, parseDocument } from 'yaml';
import { fileTrouble } from './files.ts';
import { listFolder, listNote, type SecretFolder } from './folder.ts';
import { nodeAt, offsetOf, showNode } from './nodes.ts';
import { type Origin, plainReader } from './plain.ts';
import { ConfigError, createReport, type Report } from './problems.ts';
import { hasSubstitution, nameRoute } from './secrets.ts';

export type Path = readonly (string | number)[];

/** One YAML file: its values, and where each of them stands. */
export interface Source {
  /** The file as the user named it. */
  readonly name: string;
  /** The absolute folder at which relative paths start. */
  readonly folder: string;
  /** Plain data, substituted. */
  readonly value: unknown;
  /** Reads a file that the configuration names, and notes it. @throws what readFileSync throws */
  read(file: string): Buffer;
  /** Every file that was read so far, or could not be. */
  readonly files: FileNotes;
  positionAt(offset: number): { readonly line: number; readonly column: number };
  /** The offset of the value at `path`, or of its key; of what encloses it where it is missing. */
  offsetOf(path: Path, at: 'key' | 'value'): number;
  /** The value at `path` as it may be shown: the file's own text, so never what a `${…}` stands for. */
  show(path: Path): string;
  /** Whether the value at `path` holds what a `${…}` brought in. */
  isSubstituted(path: Path): boolean;
  /**
   * What the value at `path` was read from, as it may be shown: it is written as nothing but one `${…}`.
   * @param route the name that stands in it for `${route}`
   */
  originOf(path: Path, route?: string): string | undefined;
  /** Whether something at `path` or below it may be another in each route. */
  dependsOnRoute(path: Path): boolean;
  /**
   * The value at `path`, substituted, as if it stood at `as`.
   * @param report is told what is wrong, by where it would stand
   */
  valueAt(path: Path, as: Path, report: Report): unknown;
  /** Where the entries of a list came from, if a folder brought some of them in. */
  originsOf(list: Path): readonly Origin[] | undefined;
  /** The folders whose files were taken by name. */
  readonly folders: ReadonlyMap<string, SecretFolder>;
}

/** By absolute path: the SHA-256 of what a file held when it was read; `undefined`: it could not be read. */
export type FileNotes = Map<string, string | undefined>;

/** Reads a file and notes what it held. @throws what readFileSync throws */
export function readNoted(file: string, files: FileNotes): Buffer {
  files.set(file, undefined);
  const bytes = readFileSync(file);
  files.set(file, hash('sha256', bytes));
  return bytes;
}

/** Lists a folder and notes what it held. @throws what readdirSync throws */
function listNoted(path: string, files: FileNotes): SecretFolder {
  files.set(listNote(path), undefined);
  const folder = listFolder(path);
  files.set(listNote(path), folder.digest);
  return folder;
}

/**
 * Reads a YAML 1.2 file. A value that cannot be substituted is reported and taken for text.
 * @throws {ConfigError} when the file cannot be read as one YAML document: then nothing else can be said of it
 */
export function readDocument(
  name: string,
  env: NodeJS.ProcessEnv | undefined,
  files: FileNotes = new Map(),
): Report {
  const folder = dirname(resolve(name));
  const lineCounter = new LineCounter();
  const text = readText(name, files);
  const document = parseDocument(text, { lineCounter, prettyErrors: false, version: '1.2', merge: false });
  const positionAt = (offset: number): { line: number; column: number } => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const folders = new Map<string, SecretFolder>();
  const reader = plainReader(document, {
    name,
    surroundings: env && { env, folder, read: (file) => readNoted(file, files) },
    list: (path) => {
      // Once: many routes take theirs from one folder.
      const found = folders.get(path) ?? listNoted(path, files);
      folders.set(path, found);
      return found;
    },
  });
  const source = {
    name,
    folder,
    folders,
    value: undefined as unknown,
    read: (file: string) => readNoted(file, files),
    files,
    positionAt,
    offsetOf: (path: Path, at: 'key' | 'value') => offsetOf(document, path, at),
    show: (path: Path) => showNode(document, path),
    isSubstituted(path: Path): boolean {
      const node = nodeAt(document, path);
      return (
        env !== undefined &&
        isScalar(node) &&
        typeof node.value === 'string' &&
        // The name of a route is no secret.
        hasSubstitution(nameRoute(node.value, ''))
      );
    },
    originOf(path: Path, route = ''): string | undefined {
      const node = nodeAt(document, path);
      const text = isScalar(node) ? nameRoute(String(node.value), route) : '';
      return /^\$\{[^{}]+\}$/.test(text) ? text : undefined;
    },
    ...reader,
  };
  const report = createReport(source);
  // What the parser makes of the lines after its first stumble is mostly noise.
  const stumbles = document.errors.filter((error) => !SEPARATE.has(error.code));
  const separate = document.errors.filter((error) => SEPARATE.has(error.code));
  for (const trouble of [...stumbles.slice(0, 1), ...separate, ...document.warnings]) {
    report.addAt(trouble.pos[0], syntaxSentence(trouble.code, trouble.message, text, trouble.pos[0]));
  }
  if (report.lines().length > 0) throw new ConfigError(report.lines());
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    throw new ConfigError([`${name}:1:1 the file is empty; it needs at least tls, upstreams and routes`]);
  }
  source.value = reader.valueAt([], [], report);
  return report;
}

function readText(name: string, files: FileNotes): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readNoted(resolve(name), files));
  } catch (error) {
    if (error instanceof TypeError)
      throw new ConfigError([`${name}:1:1 the file is not UTF-8 text; save it as UTF-8`]);
    throw new ConfigError([`${name}:1:1 cannot read ${resolve(name)}: ${fileTrouble(error)}`]);
  }
}

/** Mistakes that are complete in themselves: each is worth its own sentence. */
const SEPARATE: ReadonlySet<string> = new Set(['DUPLICATE_KEY', 'MULTIPLE_DOCS', 'TAG_RESOLVE_FAILED']);

/** The parser's own words less what they quote of the file, which may be a secret. */
function syntaxSentence(code: string, message: string, text: string, offset: number): string {
  if (code === 'DUPLICATE_KEY') return 'this key is given twice; keep one of the two';
  if (code === 'MULTIPLE_DOCS') return 'a second YAML document begins here; keep one document a file';
  if (code === 'TAG_RESOLVE_FAILED') return 'this YAML tag is not known; remove what begins with !';
  const words = message.replace(/:? *["'].*$/s, '').replace(/\.$/, '');
  const from = text.lastIndexOf('\n', offset - 1) + 1;
  const to = text.indexOf('\n', offset);
  const line = text.slice(from, to === -1 ? undefined : to);
  const hint = /[{[,].*\$\{/.test(line) ? `; inside { } and [ ] put \${…} in quotes: "\${NAME}"` : '';
  return `this is not YAML: ${words.charAt(0).toLowerCase()}${words.slice(1)}${hint}`;
}
