import { resolve } from 'node:path';
import { type Document, isAlias, isMap, isPair, isScalar, isSeq, type Node, type Scalar } from 'yaml';
import type { Path, Source } from './document.ts';
import { audienceOf, isWritableByAll } from './files.ts';
import { filesOf, folderReference, type SecretFolder } from './folder.ts';
import { NAME } from './names.ts';
import { keyOf, nodeAt } from './nodes.ts';
import { ConfigError, pathText, type Report } from './problems.ts';
import {
  dependsOnRoute,
  hasSubstitution,
  nameRoute,
  readText,
  type Surroundings,
  substitute,
} from './secrets.ts';

/** Where an entry of a list came from. */
export interface Origin {
  /** The place of the entry as it is written. */
  readonly index: number;
  /** The file of a folder that it is. */
  readonly file: string | undefined;
}

interface Ground {
  /** The file as the user named it. */
  readonly name: string;
  /** `undefined`: nothing is substituted. */
  readonly surroundings: Surroundings | undefined;
  readonly list: (path: string) => SecretFolder;
}

/** More than any configuration has; a few aliases of aliases can stand for more than memory holds. */
const MAX_NODES = 5_000_000;

/** Stands for a value that could not be substituted: reported already, so nothing more is said of it. */
export const UNKNOWN: unique symbol = Symbol('unknown');

/** Makes plain data out of the nodes: objects without a prototype, so that no key means anything but itself. */
export function plainReader(
  document: Document.Parsed,
  { name: file, surroundings, list }: Ground,
): Pick<Source, 'valueAt' | 'originsOf' | 'dependsOnRoute'> {
  const origins = new Map<string, readonly Origin[]>();
  const names = new Map<number, string | undefined>();

  /** @returns `undefined` where the route has no name that is right; that is reported with the route */
  function nameOf(index: number): string | undefined {
    if (names.has(index)) return names.get(index);
    const node = nodeAt(document, ['routes', index, 'name']);
    const text = isScalar(node) && typeof node.value === 'string' ? node.value : '';
    const found = surroundings === undefined ? { text } : substitute(text, surroundings);
    // A name that is none must not lead to files elsewhere.
    const name = 'text' in found && NAME.test(found.text) ? found.text : undefined;
    names.set(index, name);
    return name;
  }

  function isRoute(name: string): boolean {
    const routes = nodeAt(document, ['routes']);
    return isSeq(routes) && routes.items.some((_, index) => nameOf(index) === name);
  }

  function valueAt(at: Path, as: Path, report: Report): unknown {
    const open = new Set<Node>();
    let count = 0;

    function convert(node: unknown, path: Path): unknown {
      if (++count > MAX_NODES)
        throw new ConfigError([`${file}:1:1 the aliases stand for too many values; write them out`]);
      if (isAlias(node)) {
        const target = node.resolve(document);
        if (target !== undefined && !open.has(target)) return convert(target, path);
        report.add(
          path,
          target === undefined
            ? `there is no anchor &${node.source} before this alias; correct its name, or write the value out`
            : `the alias *${node.source} stands inside what it names; write the value out`,
        );
        return UNKNOWN;
      }
      if (isScalar(node)) return scalar(node, path);
      if (!isMap(node) && !isSeq(node)) return null;
      open.add(node);
      const result = isSeq(node) ? sequence(node.items, path) : mapping(node, path);
      open.delete(node);
      return result;
    }

    function mapping(node: { items: readonly unknown[] }, path: Path): Record<string, unknown> {
      const object: Record<string, unknown> = Object.create(null);
      for (const pair of node.items as Parameters<typeof keyOf>[0][]) {
        const key = keyOf(pair);
        if (key === undefined) report.add(path, 'a key must be a plain word');
        else if (key in object)
          report.add([...path, key], 'this key is given twice; keep one of the two', 'key');
        else object[key] = convert(pair.value, [...path, key]);
      }
      return object;
    }

    function sequence(items: readonly unknown[], path: Path): unknown[] {
      const values: unknown[] = [];
      const from: Origin[] = [];
      for (const [index, item] of items.entries()) {
        const inner = [...path, index];
        const files = isKeyList(path) ? folderFiles(item, inner) : undefined;
        if (files === undefined) {
          values.push(convert(item, inner));
          from.push({ index, file: undefined });
        }
        for (const file of files ?? []) {
          values.push(file === UNKNOWN ? UNKNOWN : secretOf(file, inner));
          from.push({ index, file: file === UNKNOWN ? undefined : file });
        }
      }
      if (from.some(({ file }) => file !== undefined)) origins.set(pathText(path), from);
      return values;
    }

    /** The files that an entry stands for; `undefined`: it is no folder. */
    function folderFiles(item: unknown, path: Path): readonly (string | typeof UNKNOWN)[] | undefined {
      const node = isAlias(item) ? item.resolve(document) : item;
      if (surroundings === undefined || !isScalar(node) || typeof node.value !== 'string') return undefined;
      const name = path[0] === 'routes' ? nameOf(path[1] as number) : undefined;
      const reference = folderReference(name === undefined ? node.value : nameRoute(node.value, name));
      if (reference === undefined) return undefined;
      // `routes[0].signature.secrets[0]`, or the same in defaults: the route's own, and not a client's of it.
      const isOwn = path[path.length - 3] === 'signature' && path.length === (path[0] === 'routes' ? 5 : 4);
      const isNamed = reference.path.includes('${') || (isOwn && !reference.isAll);
      if (name === undefined && isNamed) return [UNKNOWN];
      const found = filesOf(reference, isOwn ? name : undefined, {
        folder: surroundings.folder,
        list,
        isRoute,
      });
      if ('problem' in found) {
        report.add(path, found.problem);
        return [UNKNOWN];
      }
      const folder = resolve(surroundings.folder, reference.path);
      if (isWritableByAll(folder))
        report.warn(path, `other users may put files into ${folder}; run: chmod o-w ${folder}`);
      return found.files;
    }

    function secretOf(file: string, path: Path): unknown {
      const result = readText(file, reading(path));
      if ('text' in result) return result.text;
      report.add(path, result.problem);
      return UNKNOWN;
    }

    function scalar(node: Scalar, path: Path): unknown {
      if (typeof node.value !== 'string' || surroundings === undefined || !hasSubstitution(node.value))
        return node.value;
      let text = node.value;
      const isInRoute = path[0] === 'routes' && typeof path[1] === 'number' && path[2] !== 'name';
      if ((isInRoute || path[0] === 'defaults') && dependsOnRoute(text)) {
        const name = isInRoute ? nameOf(path[1] as number) : undefined;
        if (name === undefined) return UNKNOWN;
        text = nameRoute(text, name);
      }
      const result = substitute(text, { ...surroundings, read: reading(path) });
      if ('text' in result) return result.text;
      report.add(path, result.problem);
      return UNKNOWN;
    }

    /** Reads a file of the value at `path`, and says who else may use it. */
    function reading(path: Path): Surroundings['read'] {
      return (file) => {
        const bytes = (surroundings as Surroundings).read(file);
        if (path.includes('public_keys')) {
          // No secret; but whoever changes it signs as the sender.
          if (isWritableByAll(file))
            report.warn(path, `other users may change ${file}; run: chmod o-w ${file}`);
          // A group that may read it is how a mounted secret reaches a service that is not root.
        } else if (audienceOf(file)?.who === 'other users')
          report.warn(path, `other users may read ${file}; run: chmod o-rwx ${file}`);
        return bytes;
      };
    }

    return convert(nodeAt(document, at), as);
  }

  return {
    valueAt,
    originsOf: (path) => origins.get(pathText(path)),
    dependsOnRoute(path) {
      const seen = new Set<unknown>();
      const depends = (node: unknown): boolean => {
        if (isAlias(node)) return depends(node.resolve(document));
        if (isScalar(node)) return typeof node.value === 'string' && dependsOnRoute(node.value);
        if (seen.has(node) || (!isMap(node) && !isSeq(node))) return false;
        seen.add(node);
        return node.items.some((item) => depends(isPair(item) ? item.value : item));
      };
      return depends(nodeAt(document, path));
    },
  };
}

/** Lists of what verifies a signature, in which a folder may stand. */
function isKeyList(path: Path): boolean {
  const [top] = path;
  return (
    (top === 'routes' || top === 'defaults') && (path.at(-1) === 'secrets' || path.at(-1) === 'public_keys')
  );
}
