import type { Path, Source } from './document.ts';

/** A configuration that cannot be used: every mistake in it, one sentence each, in the order of the file. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

interface Problem {
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

/** Collects what is wrong with one file. */
export interface Report {
  readonly source: Source;
  /**
   * `at: 'key'` points at the key that `path` ends in, otherwise at its value, or at what encloses it.
   * @param named the path that is said in its place, where the key itself may be a secret
   */
  add(path: Path, sentence: string, at?: 'key' | 'value', named?: Path): void;
  addAt(offset: number, sentence: string): void;
  /** What is legal at `path`, but unwise. */
  warn(path: Path, sentence: string): void;
  /** Sorted by position, each once. */
  lines(): readonly string[];
  /** `where: sentence`, each once. */
  warnings(): readonly string[];
}

export function createReport(source: Source): Report {
  const problems: Problem[] = [];
  const warnings = new Set<string>();
  const push = (offset: number, where: string, sentence: string): void => {
    const { line, column } = source.positionAt(offset);
    const label = where === '' ? '' : ` ${where}:`;
    problems.push({ line, column, text: `${source.name}:${line}:${column}${label} ${sentence}` });
  };
  return {
    source,
    add: (path, sentence, at = 'value', named = path) =>
      push(source.offsetOf(path, at), pathText(named), sentence),
    addAt: (offset, sentence) => push(offset, '', sentence),
    warn: (path, sentence) => warnings.add(`${pathText(path)}: ${sentence}`),
    warnings: () => [...warnings],
    lines() {
      const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
      return [...new Set(sorted.map((problem) => problem.text))];
    },
  };
}

/** `routes[0].signature.secrets[1]`; a key that is no plain word stands in brackets. */
export function pathText(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[\w.-]+$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}

/** What to write instead of `word`: the nearest of `known`, and the whole list where that is short. */
export function suggestion(word: string, known: readonly string[]): string {
  if (known.length === 0) return 'there are none';
  if (known.length === 1) return `the only one is ${known[0]}`;
  const near = nearest(word, known);
  const all = `known are ${known.join(', ')}`;
  if (near === undefined) return all;
  return known.length > 8 ? `did you mean ${near}?` : `did you mean ${near}? ${all}`;
}

function nearest(word: string, known: readonly string[]): string | undefined {
  const target = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(target.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(target, candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Levenshtein; words beyond 64 characters are no spelling mistakes. */
function editDistance(a: string, b: string): number {
  if (a.length > 64 || b.length > 64) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
