import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
} from 'yaml';
import { audienceOf, fileTrouble, isWritableByAll } from './files.ts';
import { keyOf, nodeAt, offsetOf, showNode } from './nodes.ts';
import { ConfigError, createReport, type Report } from './problems.ts';
import { hasSubstitution, type Surroundings, substitute } from './secrets.ts';

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

/** More than any configuration has; a few aliases of aliases can stand for more than memory holds. */
const MAX_NODES = 5_000_000;

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
  const source = {
    name,
    folder,
    value: undefined as unknown,
    read: (file: string) => readNoted(file, files),
    files,
    positionAt,
    offsetOf: (path: Path, at: 'key' | 'value') => offsetOf(document, path, at),
    show: (path: Path) => showNode(document, path),
    isSubstituted(path: Path): boolean {
      const node = nodeAt(document, path);
      return (
        env !== undefined && isScalar(node) && typeof node.value === 'string' && hasSubstitution(node.value)
      );
    },
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
  const { read } = source;
  source.value = toPlain(document, report, env === undefined ? undefined : { env, folder, read });
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

/** Plain data out of the nodes: objects without a prototype, so that no key means anything but itself. */
function toPlain(document: Document.Parsed, report: Report, surroundings: Surroundings | undefined): unknown {
  const open = new Set<Node>();
  let count = 0;
  const convert = (node: unknown, path: Path): unknown => {
    if (++count > MAX_NODES)
      throw new ConfigError([
        `${report.source.name}:1:1 the aliases stand for too many values; write them out`,
      ]);
    if (isAlias(node)) {
      const target = node.resolve(document);
      if (target === undefined) {
        report.add(
          path,
          `there is no anchor &${node.source} before this alias; correct its name, or write the value out`,
        );
        return UNKNOWN;
      }
      if (open.has(target)) {
        report.add(path, `the alias *${node.source} stands inside what it names; write the value out`);
        return UNKNOWN;
      }
      return convert(target, path);
    }
    if (isScalar(node)) return plainScalar(node, path, report, surroundings);
    if (!isMap(node) && !isSeq(node)) return null;
    open.add(node);
    let result: unknown;
    if (isSeq(node)) {
      result = node.items.map((item, index) => convert(item, [...path, index]));
    } else {
      const object: Record<string, unknown> = Object.create(null);
      for (const pair of node.items) {
        const key = keyOf(pair);
        if (key === undefined) report.add(path, 'a key must be a plain word');
        else if (key in object)
          report.add([...path, key], 'this key is given twice; keep one of the two', 'key');
        else object[key] = convert(pair.value, [...path, key]);
      }
      result = object;
    }
    open.delete(node);
    return result;
  };
  return convert(document.contents, []);
}

function plainScalar(
  node: Scalar,
  path: Path,
  report: Report,
  surroundings: Surroundings | undefined,
): unknown {
  if (typeof node.value !== 'string' || surroundings === undefined || !hasSubstitution(node.value))
    return node.value;
  const result = substitute(node.value, {
    ...surroundings,
    read(file) {
      const bytes = surroundings.read(file);
      if (path.includes('public_keys')) {
        // No secret; but whoever changes it signs as the sender.
        if (isWritableByAll(file))
          report.warn(path, `other users may change ${file}; run: chmod o-w ${file}`);
        // A group that may read it is how a mounted secret reaches a service that is not root.
      } else if (audienceOf(file)?.who === 'other users')
        report.warn(path, `other users may read ${file}; run: chmod o-rwx ${file}`);
      return bytes;
    },
  });
  if ('text' in result) return result.text;
  report.add(path, result.problem);
  return UNKNOWN;
}

/** Stands for a value that could not be substituted: reported already, so nothing more is said of it. */
export const UNKNOWN: unique symbol = Symbol('unknown');
