import type { Request } from './grammar.ts';
import { valuesOf } from './recorder.ts';
import { ROUTES, type RouteEntry } from './world.ts';

/** Whether two servers may take this target for different things. */
export function isAmbiguous(target: string): boolean {
  if (!target.startsWith('/') || /[^\x21-\x7e]|[\\#]/.test(target)) return true;
  const path = target.split('?', 1)[0] as string;
  if (/%(?![0-9a-f][0-9a-f])/i.test(path) || /%(?:2e|2f|5c|7f|0.|1.)/i.test(path)) return true;
  const segments = path.slice(1).split('/');
  return segments.some((segment, place) => {
    const name = segment.split(/;|%3b/i, 1)[0] as string;
    const isLast = place === segments.length - 1;
    return name === '.' || name === '..' || (name === '' && (segment !== '' || !isLast));
  });
}

/** The path that a tolerant server may take it for. */
function tolerant(path: string): string {
  const decoded = path.replace(/%([0-9a-f]{2})/gi, (code, hex) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return /[a-z0-9._~;-]/i.test(character) ? character : code;
  });
  const segments = decoded.toLowerCase().split('/');
  const names = segments.map((segment) => (segment.split(';', 1)[0] as string).replace(/(?:\.|%20)+$/, ''));
  return names.join('/').replace(/(?<=.)\/+$/, '');
}

/** Host before no host, exact before prefix, longer prefix before shorter, more headers before fewer. */
function rank({ host, path, headers }: RouteEntry): number {
  const exact = path.endsWith('/*') ? path.length : 1000;
  return (host === undefined ? 0 : 100_000) + exact * 10 + (headers === undefined ? 0 : 1);
}

function best(fits: (route: RouteEntry) => boolean): RouteEntry | undefined {
  return ROUTES.filter(fits).sort((a, b) => rank(b) - rank(a))[0];
}

/** The route of a request; `undefined`: none, also where a tolerant server would find a stricter one. */
export function chooseRoute({ target, host, fields }: Request): RouteEntry | undefined {
  const path = target.split('?', 1)[0] as string;
  const name = host.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '');
  const isHere = (route: RouteEntry, where: string): boolean => {
    if (route.host !== undefined && route.host !== name) return false;
    return route.path.endsWith('/*') ? where.startsWith(route.path.slice(0, -1)) : where === route.path;
  };
  const found = best(
    (route) =>
      isHere(route, path) &&
      (route.headers === undefined || valuesOf(fields, 'x-tenant')[0] === route.headers['x-tenant']),
  );
  const like = best((route) => isHere(route, tolerant(path)));
  if (found === undefined || like === undefined || path === tolerant(path)) return found;
  return Math.floor(rank(like) / 10) > Math.floor(rank(found) / 10) ? undefined : found;
}
