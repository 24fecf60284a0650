import type { Upstream } from './deliver/upstream.ts';
import type { Fields } from './fields.ts';
import type { UpstreamFields } from './headers.ts';
import type { RouteSettings, TransformSettings } from './settings.ts';
import type { Runner } from './transform/runner.ts';
import type { Refusal } from './types.ts';

/** Where a message goes, and with what fields. */
export interface Way {
  readonly upstream: Upstream;
  readonly fields: UpstreamFields;
}

/** A message as a script is given it. */
export interface Original {
  readonly method: string;
  /** At the route's upstream. */
  readonly path: string;
  readonly body: Buffer;
  readonly receivedMs: number;
}

/** A message as a script has left it. */
export interface Transformed extends Way {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer;
  /** Turns the fields of the message into those of what is sent. */
  readonly renew: (fields: string[]) => string[];
}

export type Transformation = (original: Original) => Promise<Transformed | 'cancelled' | Refusal>;

/** What two parsers could read differently, in a path that the script made; as for the paths of requests. */
const AMBIGUOUS = /\\|\/\/|\/\.{1,2}(?:\/|$)|%(?:2f|5c|00|2e)|%(?![\da-f]{2})/i;

/**
 * Compiles a route's transformation: the contract of Codat's own (documentation, "Transform webhook"), less that `url`
 * names a path at the route's upstream, or `upstream:NAME/path`: a script must not choose where data leaks to.
 * @param ways the upstreams by name
 */
export function transformation(
  settings: TransformSettings,
  route: RouteSettings,
  own: Way,
  ways: (name: string) => Way | undefined,
  runner: Runner,
): Transformation {
  const renew = renewer(route);
  return async ({ method, path, body, receivedMs }) => {
    const made = await runner.run(route.name, { script: settings, method, url: path, body, receivedMs });
    switch (made.kind) {
      case 'cancelled':
        return 'cancelled';
      case 'failed':
        return { reason: 'transform.failed', detail: made.detail };
      case 'malformed':
        return { reason: 'transform.malformed', detail: made.detail };
      case 'webhook': {
        const chosen = made.url === path ? { ...own, path } : chooseWay(made.url, own, ways);
        if (typeof chosen === 'string') return { reason: 'transform.failed', detail: chosen };
        // What was left as it was goes as it came: numbers beyond 2^53 and the signature hold.
        if (made.payload === undefined) return { ...chosen, method: made.method, body, renew: same };
        return { ...chosen, method: made.method, body: Buffer.from(made.payload), renew };
      }
    }
  };
}

/** @returns why not, in a sentence */
function chooseWay(
  url: string,
  own: Way,
  ways: (name: string) => Way | undefined,
): (Way & { readonly path: string }) | string {
  const [, name, path] = /^upstream:([^/?]+)(\/.*)$/s.exec(url) ?? [undefined, undefined, url];
  const way = name === undefined ? own : ways(name);
  const shown = JSON.stringify(url.slice(0, 200));
  if (way === undefined) return `webhook.url is ${shown}, and there is no upstream of that name`;
  const [plain = ''] = (path as string).split('?', 1);
  if (!plain.startsWith('/') || (path as string).includes('#') || AMBIGUOUS.test(plain))
    return `webhook.url is ${shown}; give a path such as /webhooks, or upstream:NAME/path`;
  return { ...way, path: path as string };
}

const same = (fields: string[]): string[] => fields;

/** They speak of bytes that are gone. */
const OF_THE_BODY = new Set([
  'webhook-signature',
  'svix-signature',
  'content-type',
  'content-encoding',
  'content-md5',
  'content-digest',
  'repr-digest',
  'digest',
  'etag',
]);

function renewer({ signature }: RouteSettings): (fields: string[]) => string[] {
  const dropped = new Set(OF_THE_BODY);
  if (signature !== undefined && signature.scheme !== 'standard-webhooks' && signature.scheme !== 'token')
    dropped.add(signature.header);
  return (fields) => {
    const kept: string[] = [];
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      if (!dropped.has(name)) kept.push(name, fields[i + 1] as string);
    }
    kept.push(...NEW);
    return kept;
  };
}

const NEW: Fields = ['content-type', 'application/json', 'x-postern-transformed', '1'];
