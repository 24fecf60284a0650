import { durationText } from '../../config/duration-text.ts';
import { laneOf } from '../../lane.ts';
import type { RateLimit, ReportableCheck, RouteSettings } from '../../settings.ts';
import type { TallyText } from '../usage/answer.ts';
import { credentialText, headersText, type RouteFacts, type SecretFacts } from './facts.ts';

interface Column {
  readonly name: string;
  readonly cell: (route: RouteSettings, facts: RouteFacts) => string;
}

const NOTHING = '-';

const COLUMNS: readonly Column[] = [
  { name: 'route', cell: ({ name }) => name },
  { name: 'entrance', cell: entranceText },
  {
    name: 'from',
    cell: moded('address', ({ addresses }) => (addresses === 'any' ? 'any' : firstOf(addresses))),
  },
  { name: 'certificate', cell: moded('certificate', certificateText) },
  {
    name: 'authorization',
    cell: moded('authorization', ({ authorization }) => authorization.map(credentialText).join(' or ')),
  },
  { name: 'signature', cell: moded('signature', signatureText) },
  { name: 'clients', cell: clientsText },
  { name: 'rate', cell: ({ rateLimits }) => firstOf(rateLimits.map(rateText)) },
  { name: 'then', cell: thenText },
  {
    name: 'goes to',
    cell: ({ deliver, late, upstream }) =>
      `${deliver}${late === 'queue' ? ', late: queue' : ''} -> ${upstream.name}`,
  },
  { name: 'requests', cell: (_, { requests }) => requests?.count.toString() ?? '' },
  { name: 'the last', cell: (_, { requests }) => (requests === undefined ? '' : lastText(requests)) },
];

/** What is not enforced looks the same nowhere. */
function moded(check: ReportableCheck, cell: (route: RouteSettings) => string): Column['cell'] {
  return (route) => (route.reported.includes(check) ? `${cell(route)} (report)` : cell(route));
}

/** The routes as a table, a line each; a column in which nothing would stand is left out. */
export function routeTable(routes: readonly RouteSettings[], facts: readonly RouteFacts[]): string {
  const columns = COLUMNS.map(({ name, cell }) => [
    name,
    ...routes.map((route, place) => cell(route, facts[place] as RouteFacts) || NOTHING),
  ]).filter(([, ...cells]) => cells.some((cell) => cell !== NOTHING));
  return aligned(
    routes.map((_, place) => columns.map((column) => column[place + 1] ?? '')),
    columns,
  );
}

/** The known clients of the routes, and what is each one's own. */
export function clientTable(facts: readonly RouteFacts[]): string {
  const rows = facts.flatMap(({ name, clients }) =>
    clients === '-'
      ? []
      : clients.known.map(({ id, certificate, signature, rate, upstream }) =>
          [name, id, certificate, signature, rate, upstream].map((cell) =>
            cell === "the route's" ? NOTHING : cell,
          ),
        ),
  );
  if (rows.length === 0) return '';
  const heads = ['route', 'client', 'certificate', 'signature', 'rate', 'goes to'];
  return aligned(
    rows,
    heads.map((head, place) => [head, ...rows.map((row) => row[place] ?? '')]),
  );
}

/** Where each secret of each route and of its clients was read from, by the place under which the record names it. */
export function secretTable(facts: readonly RouteFacts[]): string {
  const rows = facts.flatMap(({ name, secrets, clients }) => [
    ...secrets.map((secret) => secretRow(name, secret)),
    ...(clients === '-' ? [] : clients.known).flatMap((client) =>
      client.secrets.map((secret) => secretRow(laneOf(name, client.id), secret)),
    ),
  ]);
  if (rows.length === 0) return '';
  const heads = ['route', 'secret', 'read from', 'matches', 'the last'].slice(0, rows[0]?.length);
  const columns = heads.map((head, place) => [head, ...rows.map((row) => row[place] ?? '')]);
  return aligned(rows, columns);
}

function secretRow(whose: string, secret: SecretFacts): readonly string[] {
  const { count, from = 'written in the configuration' } = secret;
  const used = count === undefined ? [] : [String(count), lastText(secret)];
  return [whose, String(secret.secret), from, ...used];
}

/** @param columns each with its head first */
function aligned(rows: readonly (readonly string[])[], columns: readonly (readonly string[])[]): string {
  const widths = columns.map((cells) => Math.max(...cells.map((cell) => cell.length)));
  const heads = columns.map(([head = '']) => head);
  return [heads, ...rows]
    .map((row) =>
      row
        .map((cell, place) => cell.padEnd(widths[place] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function entranceText(route: RouteSettings): string {
  const headers = headersText(route);
  return `${route.host ?? ''}${route.path}${headers === '' ? '' : ` if ${headers}`}`;
}

function certificateText({ certificate }: RouteSettings): string {
  if (certificate === 'none') return 'none';
  const { names = [], fingerprints = [], publicKeys = [] } = certificate;
  const digests = [...fingerprints, ...publicKeys].map((digest) => digest.slice(0, 'sha256:'.length + 8));
  return firstOf([...names, ...digests]) || 'any of client_ca';
}

function signatureText({ signature }: RouteSettings): string {
  if (signature === undefined) return '';
  const { length } = signature.keys;
  const noun = signature.scheme === 'public-key' ? 'key' : 'secret';
  return `${signature.scheme}, ${length} ${noun}${length === 1 ? '' : 's'}`;
}

function clientsText({ clients }: RouteSettings): string {
  if (clients === undefined) return '';
  const { known, unknown, mode } = clients;
  return `${known.length} by ${clients.header}${unknown === 'allow' ? ', unknown ones too' : ''}${mode === 'report' ? ', only reported' : ''}`;
}

function rateText({ count, perMs, key, mode, waitMs }: RateLimit): string {
  const by = key.by === 'header' ? `header ${key.name}` : key.by;
  const texts = [`${count}/${durationText(perMs).replace(/^1(?=\D)/, '')}`];
  if (by !== 'route') texts.push(`by ${by}`);
  if (waitMs > 0) texts.push(`waits ${durationText(waitMs)}`);
  if (mode === 'report') texts.push('(report)');
  return texts.join(' ');
}

function thenText({ quarantine, filter, transform, attest, reported }: RouteSettings): string {
  const steps = { quarantine, filter, transform, attest };
  return Object.entries(steps)
    .flatMap(([name, step]) => (step === undefined ? [] : [name]))
    .map((name) => (name === 'filter' && reported.includes(name) ? 'filter (report)' : name))
    .join(', ');
}

/** The first of a list, and how many more there are. */
function firstOf(list: readonly string[]): string {
  const [first = '', ...rest] = list;
  return rest.length === 0 ? first : `${first} +${rest.length}`;
}

function lastText({ last }: Partial<TallyText>): string {
  return last === undefined ? 'never' : `${last.slice(0, 'YYYY-MM-DDTHH:MM:SS'.length)}Z`;
}
