/** What of a route decides which requests it matches. */
export interface Matcher {
  /** Its place in the file. */
  readonly index: number;
  readonly path: string;
  readonly host: string | undefined;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

export interface Ambiguity {
  readonly earlier: number;
  readonly later: number;
}

/**
 * Finds routes that can match one request with equal rank: same host, same path, as many headers, and no header
 * that both ask for with different values. Each later route is named once, with the first earlier one.
 */
export function findAmbiguities(routes: readonly Matcher[]): readonly Ambiguity[] {
  const groups = Map.groupBy(routes, (route) =>
    JSON.stringify([route.host, route.path, route.headers.length]),
  );
  return [...groups.values()].flatMap((group) => compareGroup(group, new Set()));
}

/**
 * Routes that differ in the value of a header all of them name can never match one request. So a group is
 * parted by such a header first; that leaves little to compare even among thousands of routes of one path.
 */
function compareGroup(group: readonly Matcher[], parted: ReadonlySet<string>): readonly Ambiguity[] {
  const [first] = group;
  if (first === undefined || group.length === 1) return [];
  const shared = first.headers.find(
    ({ name }) => !parted.has(name) && group.every((route) => headerValue(route, name) !== undefined),
  );
  if (shared === undefined) return comparePairs(group);
  const parts = Map.groupBy(group, (route) => headerValue(route, shared.name));
  return [...parts.values()].flatMap((part) => compareGroup(part, new Set([...parted, shared.name])));
}

function comparePairs(group: readonly Matcher[]): readonly Ambiguity[] {
  const found: Ambiguity[] = [];
  for (const [place, later] of group.entries()) {
    for (let i = 0; i < place; i++) {
      const earlier = group[i];
      if (earlier === undefined || !canMatchOneRequest(earlier, later)) continue;
      found.push({ earlier: earlier.index, later: later.index });
      break;
    }
  }
  return found;
}

function canMatchOneRequest(a: Matcher, b: Matcher): boolean {
  return a.headers.every(({ name, value }) => {
    const other = headerValue(b, name);
    return other === undefined || other === value;
  });
}

function headerValue(route: Matcher, name: string): string | undefined {
  return route.headers.find((header) => header.name === name)?.value;
}
