import { z } from 'zod';
import type { Path } from './document.ts';
import { UNKNOWN } from './plain.ts';
import { type Report, suggestion } from './problems.ts';

/** Where a mode may stand, for whoever writes it elsewhere. */
const MODE_PLACES =
  'a mode stands in addresses, certificate, authorization, signature, rate_limit or filter of a route; what the handshake, the limits and the request syntax refuse is never let in';

/** A section: a mapping of known keys; an unknown one is refused with the nearest known. */
export function section<Shape extends z.core.$ZodLooseShape>(shape: Shape, expected: string) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => unknownKey(key, Object.keys(shape))).join('\n')
        : expected,
  });
}

/** A list of at least one. */
export function list<Item extends z.ZodType>(item: Item, expected: string) {
  return z.array(item, { error: expected }).min(1, `the list is empty; give ${expected}`);
}

/** One of several shapes; `expected` names them all, for a value that is none of them. */
export function either<Options extends readonly [z.ZodType, ...z.ZodType[]]>(
  options: Options,
  expected: string,
) {
  return z.union(options, { error: expected });
}

export interface Partly<Value> {
  /** The keys that are right, defaults filled in. */
  readonly values: Partial<Value>;
  /** Whether all of these keys were right or rightly absent. */
  right(...keys: (keyof Value & string)[]): boolean;
}

/**
 * Reads a section key by key, so that what is right of it can still be judged beside what is wrong.
 * @param path where `value` stands in the file
 */
export function readSection<Schema extends z.ZodObject>(
  schema: Schema,
  value: unknown,
  path: Path,
  report: Report,
): Partly<z.output<Schema>> {
  const values: Record<string, unknown> = {};
  const wrong = new Set<string>();
  const shape: Readonly<Record<string, z.core.$ZodType>> = schema.shape;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    reportIssues(schema.safeParse(value).error?.issues ?? [], value, path, report);
    return { values: {}, right: () => false };
  }
  const given = value as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(shape, key)) report.add([...path, key], unknownKey(key, Object.keys(shape)), 'key');
  }
  for (const [key, inner] of Object.entries(shape)) {
    const result = z.safeParse(inner, given[key]);
    if (result.success) values[key] = result.data;
    else {
      wrong.add(key);
      reportIssues(result.error.issues, given[key], [...path, key], report);
    }
  }
  return {
    values: values as Partial<z.output<Schema>>,
    right: (...keys) => keys.every((key) => !wrong.has(key)),
  };
}

/** The same of a section inside another, without a word: its mistakes were reported with those around it. */
export function readInner<Schema extends z.ZodObject>(
  schema: Schema,
  value: unknown,
): Partly<z.output<Schema>> {
  const values: Record<string, unknown> = {};
  const wrong = new Set<string>();
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  for (const [key, inner] of Object.entries(schema.shape)) {
    const result = z.safeParse(inner, given[key]);
    if (result.success) values[key] = result.data;
    else wrong.add(key);
  }
  return {
    values: values as Partial<z.output<Schema>>,
    right: (...keys) => keys.every((key) => !wrong.has(key)),
  };
}

/** Reads one value. @returns `undefined` when it was reported as wrong */
export function readValue<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  path: Path,
  report: Report,
): z.output<Schema> | undefined {
  const result = schema.safeParse(value);
  if (!result.success) reportIssues(result.error.issues, value, path, report);
  return result.data;
}

export function unknownKey(key: string, known: readonly string[]): string {
  if (key === 'mode') return `unknown key "mode"; ${MODE_PLACES}`;
  return `unknown key ${JSON.stringify(key)}; ${suggestion(key, known)}`;
}

/** Turns what zod found into sentences; `root` is what was parsed and stands at `base`. */
function reportIssues(issues: readonly z.core.$ZodIssue[], root: unknown, base: Path, report: Report): void {
  // A misspelt key is missed under its right name too; saying so as well would only confuse.
  const misspelt = new Set(
    issues.filter((issue) => issue.code === 'unrecognized_keys').map((issue) => issue.path.join('\n')),
  );
  for (const issue of issues) {
    if (issue.code !== 'custom' || !misspelt.has(issue.path.join('\n')))
      reportIssue(issue, root, base, report);
  }
}

function reportIssue(issue: z.core.$ZodIssue, root: unknown, base: Path, report: Report): void {
  const path = [...base, ...issue.path.map((step) => (typeof step === 'number' ? step : String(step)))];
  const input = valueAt(root, issue.path);
  if (input === UNKNOWN) return;
  if (issue.code === 'unrecognized_keys') {
    const sentences = issue.message.split('\n');
    for (const [index, key] of issue.keys.entries()) {
      const where = [...path, key];
      if (!SECRET_PLACES.has(lastKey(path)) || LIKE_A_KEY.test(key))
        report.add(where, sentences[index] ?? issue.message, 'key');
      else report.add(where, 'this key is not known; give what is expected here', 'key', path);
    }
    return;
  }
  if (issue.code === 'invalid_union') {
    const branch = fittingBranch(issue.errors);
    if (branch !== undefined) {
      reportIssues(branch, input, path, report);
      return;
    }
  }
  const told = issue.code === 'custom' ? issue.params : undefined;
  const expected =
    issue.code === 'custom' ? told?.expected : issue.code === 'too_small' ? undefined : issue.message;
  if (typeof expected !== 'string') report.add(path, issue.message, told?.at === 'key' ? 'key' : 'value');
  else if (input === undefined) report.add(path, `is missing; give ${expected}`);
  else if (input === null) report.add(path, `is empty; give ${expected}`);
  else report.add(path, describe(expected, told ?? {}, path, typeof input === 'object', report));
}

/** The sentence about one value that is there and wrong. */
function describe(
  expected: string,
  told: Readonly<Record<string, unknown>>,
  path: Path,
  isCollection: boolean,
  report: Report,
): string {
  // Even the right spelling of a value, or a part of it, tells what an environment variable holds.
  const mayQuote = told.quotes !== true || !report.source.isSubstituted(path);
  const hint = typeof told.hint === 'string' && mayQuote ? told.hint : '';
  if (told.alone === true && hint !== '') return hint;
  const secret = told.secret === true || (told.expected === undefined && SECRET_PLACES.has(lastKey(path)));
  const got = secret && !isCollection ? '' : `, got ${report.source.show(path)}`;
  return `expected ${expected}${got}${hint === '' ? '' : `; ${hint}`}`;
}

/** Where a mapping or list belongs, and somebody may have written the bare secret instead. */
const SECRET_PLACES: ReadonlySet<string> = new Set([
  'attest',
  'authorization',
  'basic',
  'header',
  'signature',
  'secrets',
]);

/** What may stand there by mistake and is no secret. */
const LIKE_A_KEY = /^[a-z_-]{1,24}$/i;

function lastKey(path: Path): string {
  return String(path.findLast((step) => typeof step === 'string') ?? '');
}

/** The branch of a union that the kind of the value (mapping, list, one value) belongs to, if just one does. */
function fittingBranch(branches: readonly (readonly z.core.$ZodIssue[])[]) {
  const fitting = branches.filter(
    (issues) => !issues.some((issue) => issue.path.length === 0 && isKindMismatch(issue)),
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

function isKindMismatch(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type' || (issue.code === 'custom' && issue.params?.kind === true);
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Readonly<Record<PropertyKey, unknown>>)[step];
  }
  return value;
}
