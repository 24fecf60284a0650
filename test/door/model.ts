import { createHmac } from 'node:crypto';
import { type Body, type Request, readBody, readHead } from './grammar.ts';
import { chooseRoute, isAmbiguous } from './paths.ts';
import { pairs, valuesOf } from './recorder.ts';
import type { Handed } from './upstream-view.ts';
import { BASIC, BODY_LIMIT, INTERNAL, KEY, type RouteEntry, SECRET, TOKEN } from './world.ts';

/** What must come of everything that one sender says on one connection before it closes its side. */
export interface Prediction {
  /** The statuses of the answers, in order. */
  readonly statuses: readonly number[];
  /** The request that each answer is to, as the upstream must see it; `undefined`: it must not. */
  readonly handed: readonly (Handed | undefined)[];
  /** A head without an end is behind it all: it may be refused at once, or its end be waited for. */
  readonly maybeMalformed: boolean;
}

/** What is known of the sender from its earlier requests. */
interface Memory {
  readonly events: Set<string>;
  ratedBefore: boolean;
}

/** What becomes of one request: its status, and where it goes. `undefined`: it is not answered. */
type Outcome = { readonly status: number; readonly handed?: Handed; readonly ends?: boolean } | undefined;

const MOST_DROPPED = 64 * 1024;

/** The whole gateway over again, as simply as can be: bytes of one connection in, answers and deliveries out. */
export function predict(text: string): Prediction {
  const statuses: number[] = [];
  const handed: (Handed | undefined)[] = [];
  const memory: Memory = { events: new Set(), ratedBefore: false };
  for (let rest = text; rest !== ''; ) {
    const head = readHead(rest);
    if (head === 'unfinished') return { statuses, handed, maybeMalformed: true };
    if (head === 'malformed')
      return { statuses: [...statuses, 400], handed: [...handed, undefined], maybeMalformed: false };
    const body = readBody(rest.slice(head.end), head.request.length);
    const outcome = judge(head.request, body, memory);
    if (outcome === undefined) break;
    statuses.push(outcome.status);
    handed.push(outcome.handed);
    if (outcome.ends || head.request.closes || body.state !== 'whole') break;
    rest = rest.slice(head.end + body.end);
  }
  return { statuses, handed, maybeMalformed: false };
}

const MALFORMED: Outcome = { status: 400, ends: true };

function judge(request: Request, body: Body, memory: Memory): Outcome {
  // A body that nobody wants is read to its end, unless that is far, or its sender waits for leave to send it.
  const unread = (status: number): Outcome => ({
    status,
    ends: request.expects || (request.length ?? 0) > MOST_DROPPED,
  });
  if (isAmbiguous(request.target)) return unread(400);
  if (valuesOf(request.fields, 'x-tenant').length > 1) return MALFORMED;
  const route = chooseRoute(request);
  if (route === undefined) return unread(404);
  const methods = route.methods ?? (route.sender === undefined ? undefined : ['POST', 'PUT']);
  if (['CONNECT', 'TRACE'].includes(request.method) || !(methods?.includes(request.method) ?? true))
    return unread(405);
  if (route.certificate !== undefined) return unread(403);
  if (route.rate_limit !== undefined) {
    if (memory.ratedBefore) return unread(429);
    memory.ratedBefore = true;
  }
  if (!isAuthorized(route, request.fields)) return unread(401);
  const limit = route.body_limit === undefined ? BODY_LIMIT : Number.parseInt(route.body_limit, 10);
  if ((request.length ?? 0) > limit) return unread(413);
  if (body.content.length > limit) return { status: 413 };
  if (body.state === 'malformed') return MALFORMED;
  if (body.state === 'unfinished') return undefined;
  if (route.signature !== undefined) {
    const id = signedId(request.fields, body.content);
    if (id === undefined) return { status: 401 };
    const event = `${route.name} ${id}`;
    if (memory.events.has(event)) return { status: 200 };
    memory.events.add(event);
  }
  return { status: 200, handed: handedOn(route, request, body.content) };
}

function isAuthorized({ authorization }: RouteEntry, fields: readonly string[]): boolean {
  const given = valuesOf(fields, 'authorization');
  if (given.length > 1) return false;
  if (authorization === undefined) return true;
  if ('header' in authorization[0]) return valuesOf(fields, 'x-api-key').join('\n') === KEY;
  const [, scheme = '', value] = /^(\S+) +(.*)$/.exec(given[0] ?? '') ?? [];
  if ('bearer' in authorization[0]) return scheme.toLowerCase() === 'bearer' && value === TOKEN;
  const pair = Buffer.from(`${BASIC.username}:${BASIC.password}`).toString('base64');
  return scheme.toLowerCase() === 'basic' && value === pair;
}

/** The id of an event whose signature holds. */
function signedId(fields: readonly string[], body: string): string | undefined {
  const [webhook, svix] = ['webhook', 'svix'].map((family) =>
    ['id', 'timestamp', 'signature'].map((part) => valuesOf(fields, `${family}-${part}`)),
  ) as [string[][], string[][]];
  const used = webhook.flat().length > 0 ? webhook : svix;
  if (svix.flat().length > 0 && JSON.stringify(svix) !== JSON.stringify(used)) return undefined;
  if (used.some((values) => values.length !== 1)) return undefined;
  const [id = '', timestamp = '', signature = ''] = used.flat();
  if (!/^[\x21-\x2d\x2f-\x7e]{1,256}$/.test(id) || !/^[1-9][0-9]{0,11}$/.test(timestamp)) return undefined;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return undefined;
  const listed = signature.split(' ');
  if (listed.length > 64 || listed.some((one) => !/^[^\s,]+,[\x21-\x7e]+$/.test(one))) return undefined;
  const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64');
  const signed = Buffer.from(`${id}.${timestamp}.${body}`, 'latin1');
  const right = createHmac('sha256', key).update(signed).digest('base64');
  return listed.includes(`v1,${right}`) ? id : undefined;
}

/** What never goes on, beside what a route consumes. */
const GONE = new RegExp(
  `^(?:${[
    'connection|keep-alive|proxy-connection|proxy-authenticate|proxy-authorization|te|trailer|transfer-encoding|upgrade',
    'http2-settings|host|content-length|expect|forwarded|x-request-id|traceparent|tracestate',
    'x-(?:forwarded|client|postern|ssl|amzn-mtls|auth-request|webauth)-.*|client-cert.*|ssl-client-.*',
    'x-http-method(?:-override)?|x-method-override|x-original-(?:method|url|uri|host)|x-rewrite-url|x-host',
    'x-envoy-original-path|x-http-host-override|x-real-ip|true-client-ip|cf-connecting-ip(?:v6)?|fastly-client-ip',
    'x-cluster-client-ip|x-azure-clientip|x-envoy-external-address|x-originating-ip|x-remote-(?:ip|addr|user)',
    'remote-user|x-authenticated-user|x-arr-clientcert',
  ].join('|')})$`,
);

function handedOn(route: RouteEntry, { method, target, host, fields }: Request, body: string): Handed {
  const hidden = new Set<string>();
  if (route.authorization !== undefined && !route.pass_credentials)
    hidden.add('header' in route.authorization[0] ? 'x-api-key' : 'authorization');
  if (route.name === 'keyed') hidden.add(INTERNAL);
  if (route.signature !== undefined) {
    const [own, other] = route.sender === 'svix' ? ['svix', 'webhook'] : ['webhook', 'svix'];
    if (valuesOf(fields, `${own}-id`).length > 0)
      for (const part of ['id', 'timestamp', 'signature']) hidden.add(`${other}-${part}`);
  }
  const question = `${target}?`.indexOf('?');
  const [path, query] = [target.slice(0, question), target.slice(question)];
  const below = route.path.endsWith('/*') ? path.slice(route.path.length - 1) : '';
  return {
    route: route.name,
    method,
    target: route.upstream_path === undefined ? target : route.upstream_path + below + query,
    host,
    fields: pairs(fields)
      .filter(([name = '']) => !GONE.test(name) && !hidden.has(name))
      .flat(),
    body,
  };
}
