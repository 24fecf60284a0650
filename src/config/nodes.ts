import { type Document, isAlias, isMap, isScalar, isSeq, type Pair } from 'yaml';
import type { Path } from './document.ts';

/** The text of a pair's key; `undefined` where it is no plain word. */
export function keyOf(pair: Pair): string | undefined {
  if (typeof pair.key === 'string') return pair.key;
  return isScalar(pair.key) && pair.key.value !== null
    ? (pair.key.source ?? String(pair.key.value))
    : undefined;
}

interface Found {
  readonly key: unknown;
  readonly value: unknown;
}

/** The nodes along `path`, as far as they are there; the first is the document itself. */
function walk(document: Document.Parsed, path: Path): Found[] {
  const trail: Found[] = [{ key: undefined, value: document.contents }];
  for (const step of path) {
    const last = trail.at(-1)?.value;
    const node = isAlias(last) ? last.resolve(document) : last;
    if (isMap(node)) {
      const pair = node.items.find((item) => keyOf(item) === step);
      if (pair === undefined) break;
      trail.push({ key: pair.key, value: pair.value });
    } else if (isSeq(node) && typeof step === 'number' && step < node.items.length) {
      trail.push({ key: undefined, value: node.items[step] });
    } else break;
  }
  return trail;
}

/** The offset of the value at `path`, or of its key; of what encloses it where it is missing. */
export function offsetOf(document: Document.Parsed, path: Path, at: 'key' | 'value'): number {
  const trail = walk(document, path);
  const last = trail.at(-1);
  const missing = trail.length <= path.length;
  // An empty value stands on no character of its own; the key is what the reader looks for.
  const empty = isScalar(last?.value) && last.value.value === null && last.value.source === '';
  const preferKey = at === 'key' || missing || empty || last?.value === null;
  const node = preferKey && trail.length > 1 ? (last?.key ?? last?.value) : last?.value;
  return startOf(node) ?? 0;
}

function startOf(node: unknown): number | undefined {
  if (!isScalar(node) && !isMap(node) && !isSeq(node) && !isAlias(node)) return undefined;
  return node.range?.[0];
}

/** The node at `path`, an alias followed; `undefined` where there is none. */
export function nodeAt(document: Document.Parsed, path: Path): unknown {
  const trail = walk(document, path);
  const last = trail.length > path.length ? trail.at(-1)?.value : undefined;
  return isAlias(last) ? last.resolve(document) : last;
}

/** The value at `path` as it may be shown: the file's own text. */
export function showNode(document: Document.Parsed, path: Path): string {
  const node = nodeAt(document, path);
  if (isMap(node)) return 'a mapping of keys to values';
  if (isSeq(node)) return 'a list';
  if (!isScalar(node) || node.value === null) return 'nothing';
  if (typeof node.value !== 'string') return node.source ?? String(node.value);
  const text = node.value.length > 60 ? `${node.value.slice(0, 60)}…` : node.value;
  return JSON.stringify(text);
}
