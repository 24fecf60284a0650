import { type Fields, fieldValue } from '../fields.ts';

/** What is needed of a route to choose it. */
export interface Choosable {
  readonly path: string;
  readonly host: string | undefined;
  /** Sorted by name. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

/** The routes of one host and one path pattern, by the headers that choose among them; most headers first. */
type Choices<R> = { names: readonly string[]; routes: Map<string, R> }[];

interface HostTable<R> {
  exact: Map<string, Choices<R>>;
  /** By what precedes the `*`. */
  prefixes: Map<string, Choices<R>>;
  /** How many slashes the longest prefix has: no deeper slash is looked at, however many a request sends. */
  depth: number;
}

/** Routes compiled for lookup; the cost of a lookup does not depend on how many there are. */
export interface RouteTable<R> {
  readonly hosts: ReadonlyMap<string | undefined, HostTable<R>>;
  /** The same routes under canonical paths: what a tolerant upstream might take a request for. */
  readonly canonical: ReadonlyMap<string | undefined, HostTable<R>>;
}

/** Compiles the routes. Two routes that match one request with equal rank must have been refused before. */
export function routeTable<R extends Choosable>(routes: readonly R[]): RouteTable<R> {
  return { hosts: compile(routes, (path) => path), canonical: compile(routes, canonicalPattern) };
}

export interface Request {
  readonly host: string;
  readonly path: string;
  readonly headers: Fields;
}

/**
 * The highest-ranking route: host before no host, exact path before prefix, longer prefix before shorter, more
 * headers before fewer. A path that a tolerant server would read as one of a higher-ranking route (other case,
 * trailing slash, dot or space, `;parameters`, percent-encoded letters) finds nothing: it must not slip past a strict route
 * into a laxer one.
 */
export function findRoute<R>(table: RouteTable<R>, request: Request): R | undefined {
  const found = search(table.hosts, request);
  if (found === undefined) return undefined;
  const path = canonical(request.path);
  if (path === request.path) return found.route;
  const likeness = search(table.canonical, { ...request, path }, true);
  return likeness !== undefined && likeness.rank > found.rank ? undefined : found.route;
}

/**
 * The headers that are consulted to choose a route; a request that repeats one of them cannot be routed.
 */
export function choosingHeaders(routes: readonly Choosable[]): ReadonlySet<string> {
  return new Set(routes.flatMap((route) => route.headers.map(({ name }) => name)));
}

interface Found<R> {
  route: R;
  /** Compares matches of one request: host, exactness and prefix length; headers do not count. */
  rank: number;
}

const HOST_RANK = 2 ** 40;
const EXACT_RANK = 2 ** 30;

/** With `anyHeaders` a path counts as found whatever headers its routes want. */
function search<R>(
  hosts: ReadonlyMap<string | undefined, HostTable<R>>,
  { host, path, headers }: Request,
  anyHeaders = false,
): Found<R> | undefined {
  const request = { path, headers, anyHeaders };
  const here = searchHost(hosts.get(host), HOST_RANK, request);
  return here ?? searchHost(hosts.get(undefined), 0, request);
}

function searchHost<R>(
  table: HostTable<R> | undefined,
  hostRank: number,
  { path, headers, anyHeaders }: { path: string; headers: Fields; anyHeaders: boolean },
): Found<R> | undefined {
  if (table === undefined) return undefined;
  const exact = choose(table.exact.get(path), headers, anyHeaders);
  if (exact !== undefined) return { route: exact, rank: hostRank + EXACT_RANK };
  for (const end of slashes(path, table.depth)) {
    const route = choose(table.prefixes.get(path.slice(0, end)), headers, anyHeaders);
    if (route !== undefined) return { route, rank: hostRank + end };
  }
  return undefined;
}

/** Where the first `most` slashes end, the last first. */
function slashes(path: string, most: number): number[] {
  const ends: number[] = [];
  for (let at = path.indexOf('/'); at >= 0 && ends.length < most; at = path.indexOf('/', at + 1))
    ends.push(at + 1);
  return ends.reverse();
}

function choose<R>(choices: Choices<R> | undefined, headers: Fields, anyHeaders: boolean): R | undefined {
  if (choices === undefined) return undefined;
  for (const { names, routes } of choices) {
    const key = anyHeaders ? undefined : keyOf(names.map((name) => fieldValue(headers, name) ?? ABSENT));
    const route = key === undefined ? routes.values().next().value : routes.get(key);
    if (route !== undefined) return route;
  }
  return undefined;
}

/** No field has this value. */
const ABSENT = '\r';

/** Field values hold no line feed, so joined values are equal only where each is. */
function keyOf(values: readonly string[]): string {
  return values.join('\n');
}

function compile<R extends Choosable>(
  routes: readonly R[],
  spell: (path: string) => string,
): Map<string | undefined, HostTable<R>> {
  const hosts = new Map<string | undefined, HostTable<R>>();
  for (const route of routes) {
    const table: HostTable<R> = getOrMake(hosts, route.host, () => ({
      exact: new Map(),
      prefixes: new Map(),
      depth: 0,
    }));
    const path = spell(route.path);
    const isPrefix = path.endsWith('/*');
    const pattern = isPrefix ? path.slice(0, -1) : path;
    if (isPrefix) table.depth = Math.max(table.depth, pattern.split('/').length - 1);
    const choices: Choices<R> = getOrMake(isPrefix ? table.prefixes : table.exact, pattern, () => []);
    const names = route.headers.map(({ name }) => name);
    let choice = choices.find((known) => keyOf(known.names) === keyOf(names));
    if (choice === undefined) {
      choice = { names, routes: new Map() };
      choices.push(choice);
      choices.sort((a, b) => b.names.length - a.names.length);
    }
    const key = keyOf(route.headers.map(({ value }) => value));
    if (!choice.routes.has(key)) choice.routes.set(key, route);
  }
  return hosts;
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

function canonicalPattern(path: string): string {
  return path.endsWith('/*') ? `${canonical(path.slice(0, -2))}/*` : canonical(path);
}

/** One spelling for all paths that a tolerant server may read alike. Paths that need none are returned as they are. */
function canonical(path: string): string {
  if (/^[/a-z0-9_-]*[a-z0-9_-]$/.test(path)) return path;
  const segments = path
    .replace(/%([0-9a-f]{2})/gi, decodeHarmless)
    .toLowerCase()
    .split('/')
    .map((segment) => withoutTail(segment.split(';', 1)[0] as string));
  while (segments.length > 1 && segments.at(-1) === '') segments.pop();
  return segments.join('/');
}

/** Without trailing dots and spaces, which some file systems ignore; from the end, since a pattern would be quadratic. */
function withoutTail(segment: string): string {
  let end = segment.length;
  for (;;) {
    if (segment.endsWith('.', end)) end -= 1;
    else if (segment.endsWith('%20', end)) end -= 3;
    else return segment.slice(0, end);
  }
}

/** RFC 3986 section 2.3: these mean the same encoded or not; and `;`, which begins what servlet containers cut off. */
function decodeHarmless(encoded: string, hex: string): string {
  const character = String.fromCharCode(Number.parseInt(hex, 16));
  return /[A-Za-z0-9\-._~;]/.test(character) ? character : encoded;
}
