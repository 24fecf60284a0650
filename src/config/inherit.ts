import { defaultsSchema, OWN_KEYS, withoutSchema } from './defaults.ts';
import type { Path } from './document.ts';
import { readSection, readValue } from './issues.ts';
import type { Report } from './problems.ts';
import { isMapping } from './schema.ts';

type Mapping = Readonly<Record<string, unknown>>;

/** A configuration whose routes have what they take from `defaults`. */
export interface Inheriting extends Report {
  /** The keys of `defaults` that no route takes. */
  readonly unusedDefaults: readonly string[];
}

/** Something wrong with what a route took. */
interface Held extends Omit<Place, 'file'> {
  readonly sentence: string;
  readonly at: 'key' | 'value' | undefined;
  /** What is said in place of the path. */
  readonly named: Place;
}

/** Where a value is written. */
interface Place {
  /** With entries of a folder counted as the one that they are written as. */
  readonly path: Path;
  /** The same in `defaults`, where the route took it from there. */
  readonly origin: Path;
  /** The file of a folder that it is. */
  readonly file: string | undefined;
}

/**
 * Gives every route the keys of `defaults` that it does not give itself, and says what is wrong where it is to be put
 * right: in `defaults`, once, what is wrong for every route that takes it; at the route what is wrong there alone.
 * @param base of a configuration whose values are a mapping
 */
export function inheriting(base: Report): Inheriting {
  const { source } = base;
  const root = source.value as Mapping;
  /** By the place of the route. */
  const taken = new Map<number, ReadonlySet<string>>();
  const held: Held[] = [];

  function placeOf(path: Path): Place {
    const [top, route, key] = path;
    const isTaken = top === 'routes' && taken.get(route as number)?.has(key as string) === true;
    const at = path.findIndex((step, i) => typeof step === 'number' && source.originsOf(path.slice(0, i)));
    const entry = source.originsOf(path.slice(0, Math.max(at, 0)))?.[path[at] as number];
    const written = entry === undefined ? path : path.with(at, entry.index);
    return {
      path: written,
      origin: isTaken ? ['defaults', ...written.slice(2)] : written,
      file: entry?.file,
    };
  }

  const inherits: Report = {
    ...base,
    source: {
      ...source,
      offsetOf: (path, at) => source.offsetOf(placeOf(path).origin, at),
      show: (path) => source.show(placeOf(path).origin),
      isSubstituted: (path) => source.isSubstituted(placeOf(path).origin),
      originOf: (path) => {
        const { file, origin } = placeOf(path);
        const { name } = Object(routes[path[1] as number]) as Mapping;
        return file ?? source.originOf(origin, typeof name === 'string' ? name : undefined);
      },
    },
    add(path, sentence, at, name = path) {
      const { file, ...place } = placeOf(path);
      const named = placeOf(name);
      const told = file === undefined ? sentence : `${sentence} (${file})`;
      if (place.origin === place.path) base.add(place.path, told, at, named.path);
      else held.push({ ...place, sentence: told, at, named });
    },
    warn: (path, sentence) => base.warn(placeOf(path).origin, sentence),
    lines() {
      const alike = Map.groupBy(held.splice(0), ({ origin, sentence }) => JSON.stringify([origin, sentence]));
      for (const problems of alike.values()) tell(problems);
      return base.lines();
    },
  };

  /** @param problems the same of one or more routes */
  function tell(problems: readonly Held[]): void {
    const key = problems[0]?.origin[1] as string;
    const isEverywhere = new Set(problems.map(({ path }) => path[1])).size === takers(key);
    for (const { path, origin, sentence, at, named } of problems) {
      if (isEverywhere) base.add(origin, sentence, at, named.origin);
      else base.add(path, `${sentence} (${key} is that of defaults)`, at, named.path);
    }
  }

  function takers(key: string): number {
    return [...taken.values()].filter((keys) => keys.has(key)).length;
  }

  /** A route with what it takes. */
  function whole(route: unknown, index: number): unknown {
    if (!isMapping(route)) return route;
    const { without, ...own } = route as Mapping;
    const left = without === undefined ? [] : leftOut(without, own, index);
    const keys = Object.keys(defaults).filter((key) => !Object.hasOwn(own, key) && !left.includes(key));
    taken.set(index, new Set(keys));
    const values = keys.map((key) => {
      const at = ['defaults', key];
      const value = source.dependsOnRoute(at)
        ? source.valueAt(at, ['routes', index, key], inherits)
        : defaults[key];
      return [key, value];
    });
    return { ...own, ...Object.fromEntries(values) };
  }

  function leftOut(given: unknown, own: Mapping, index: number): readonly string[] {
    const path = ['routes', index, 'without'];
    const keys = readValue(withoutSchema, given, path, base) ?? [];
    for (const [place, key] of keys.entries()) {
      if (!Object.hasOwn(defaults, key))
        base.add([...path, place], `defaults gives no ${key}, so there is nothing to leave out; remove it`);
      else if (Object.hasOwn(own, key))
        base.add([...path, place], `the route gives its own ${key}; remove one of the two`);
    }
    return keys;
  }

  const defaults = readDefaults(root.defaults, inherits);
  const routes: readonly unknown[] = Array.isArray(root.routes) ? root.routes.map(whole) : [];
  const { defaults: _, ...others } = root;
  const value = { ...others, ...(Array.isArray(root.routes) && { routes }) };
  return {
    ...inherits,
    source: { ...inherits.source, value },
    unusedDefaults: Object.keys(defaults).filter((key) => takers(key) === 0),
  };
}

/** What is wrong in it whoever takes it is reported here; what depends on the route is not looked at. */
function readDefaults(given: unknown, report: Report): Mapping {
  if (given === undefined) return {};
  const taken = isMapping(given) ? Object.entries(given as Mapping) : [];
  for (const key of OWN_KEYS) {
    if (isMapping(given) && Object.hasOwn(given as Mapping, key))
      report.add(['defaults', key], 'is for each route to say; write it there', 'key');
  }
  const rest = taken.filter(([key]) => !OWN_KEYS.some((own) => own === key));
  readSection(defaultsSchema, isMapping(given) ? Object.fromEntries(rest) : given, ['defaults'], report);
  return Object.fromEntries(rest.filter(([key]) => Object.hasOwn(defaultsSchema.shape, key)));
}
