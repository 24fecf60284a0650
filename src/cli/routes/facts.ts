import { durationText } from '../../config/duration-text.ts';
import { laneOf } from '../../lane.ts';
import type {
  Credential,
  FilterSettings,
  QueueSettings,
  RateLimit,
  ReportableCheck,
  RouteSettings,
} from '../../settings.ts';
import type { SignatureKey } from '../../signature-settings.ts';
import type { TallyText, UsageAnswer } from '../usage/answer.ts';

/** One route as `postern routes --json` shows it: who may come in, what is checked, where it goes. Never a secret. */
export interface RouteFacts {
  readonly name: string;
  readonly host: string;
  readonly path: string;
  readonly headers: string;
  readonly methods: string;
  readonly sender: string;
  readonly addresses: string;
  readonly certificate: string;
  readonly authorization: string;
  readonly signature: string;
  readonly secrets: readonly SecretFacts[];
  readonly quarantine: string;
  readonly clients: ClientsFacts | '-';
  readonly rate: string;
  readonly filter: string;
  readonly upstream: string;
  readonly transform: string;
  readonly attest: string;
  readonly deliver: string;
  /** What a running gateway has counted; left out where none was asked. */
  readonly requests?: TallyText;
  readonly let_in?: TallyText;
}

/** What a gateway has counted of a route or a client. */
export type Used = UsageAnswer['routes'][number];

export interface SecretFacts extends Partial<TallyText> {
  /** The place that the record gives as `secret`. */
  readonly secret: number;
  /** The file or the variable that it was read from; left out where it is written in the configuration. */
  readonly from: string | undefined;
}

/** How the clients of a route are told apart, and what is each one's own. */
export interface ClientsFacts {
  readonly header: string;
  readonly unknown: string;
  readonly mode: string;
  readonly known: readonly {
    readonly id: string;
    readonly signature: string;
    readonly secrets: readonly SecretFacts[];
    readonly certificate: string;
    readonly rate: string;
    readonly upstream: string;
  }[];
}

/** @param usages what a running gateway has counted, by the route or by `route/client` */
export function factsOf(route: RouteSettings, usages: ReadonlyMap<string, Used>): RouteFacts {
  const { signature, filter } = route;
  const keys = signature?.keys ?? [];
  const usage = usages.get(route.name);
  const moded = (check: ReportableCheck, text: string): string =>
    route.reported.includes(check) ? `${text} (report only)` : text;
  return {
    name: route.name,
    host: route.host ?? 'any',
    path: route.path,
    headers: headersText(route) || '-',
    methods: route.methods?.join(',') ?? 'any',
    sender: route.sender?.name ?? '-',
    addresses: moded('address', route.addresses === 'any' ? 'any' : route.addresses.join(', ')),
    certificate: moded('certificate', certificateText(route.certificate)),
    authorization: moded('authorization', route.authorization.map(credentialText).join(' or ') || '-'),
    signature: signature === undefined ? '-' : moded('signature', `${signature.scheme}, ${countText(keys)}`),
    secrets: secretsOf(keys, usage),
    quarantine: quarantineText(route),
    clients: clientsOf(route, usages) ?? '-',
    rate: route.rateLimits.map(rateText).join(', ') || '-',
    filter: filter === undefined ? '-' : moded('filter', filterText(filter)),
    upstream: `${route.upstream.name}${route.upstreamPath ?? ''} (${route.upstream.targets.map(({ name }) => name).join(', ')})`,
    transform: route.transform?.name ?? '-',
    attest: route.attest?.algorithm ?? '-',
    deliver: deliverText(route),
    ...(usage && { requests: usage.requests, let_in: usage.let_in }),
  };
}

/** What a substitution brought in is not shown. */
export function headersText({ headers }: RouteSettings): string {
  return headers.map(({ name, value, secret }) => `${name}: ${secret ? '(secret)' : value}`).join(', ');
}

export function credentialText(credential: Credential): string {
  return credential.kind === 'header' ? `header ${credential.name}` : credential.kind;
}

function deliverText({ deliver, late, queue }: RouteSettings): string {
  if (deliver === 'queue') return queueText(queue);
  return late === 'queue' ? `forward; what is late: ${queueText(queue)}` : 'forward';
}

function queueText({ attempts, scheduleMs, giveUp, concurrency, pace, ordered }: QueueSettings): string {
  const texts = [
    `queue, ${attempts} attempts (pauses ${scheduleMs.map((ms) => `${ms / 1000}s`).join(' ')})`,
    `gives up on ${giveUp.join(' ') || 'no status'}`,
    `${concurrency} at a time`,
  ];
  if (pace !== undefined) texts.push(`${pace.count} per ${pace.perMs / 1000} s`);
  if (ordered !== undefined)
    texts.push(`in order by ${ordered.by === 'header' ? `header ${ordered.name}` : ordered.by}`);
  return texts.join(', ');
}

function quarantineText({ quarantine }: RouteSettings): string {
  if (quarantine === undefined) return '-';
  return `a signature that does not hold: up to ${quarantine.limit} events, ${durationText(quarantine.ageMs)} each`;
}

function secretsOf(keys: readonly SignatureKey[], usage: Used | undefined): readonly SecretFacts[] {
  return keys.map(({ from }, place) => ({ secret: place, from, ...usage?.secrets[place] }));
}

function countText({ length }: readonly SignatureKey[]): string {
  return `${length} secret${length === 1 ? '' : 's'}`;
}

function clientsOf(
  { name, clients }: RouteSettings,
  usages: ReadonlyMap<string, Used>,
): ClientsFacts | undefined {
  return (
    clients && {
      header: clients.header,
      unknown: clients.unknown,
      mode: clients.mode,
      known: clients.known.map((client) => ({
        id: client.id,
        signature: client.keys === undefined ? "the route's" : countText(client.keys),
        secrets: secretsOf(client.keys ?? [], usages.get(laneOf(name, client.id))),
        certificate: client.certificate === undefined ? "the route's" : certificateText(client.certificate),
        rate: client.rateLimits?.map(rateText).join(', ') ?? "the route's",
        upstream: `${client.upstream.name}${client.upstreamPath ?? ''}`,
      })),
    }
  );
}

function certificateText(certificate: RouteSettings['certificate']): string {
  if (certificate === 'none') return 'none';
  const lists = [certificate.names, certificate.fingerprints, certificate.publicKeys].filter(
    (list) => list !== undefined,
  );
  return lists.length === 0 ? 'any of client_ca' : lists.map((list) => list.join(' or ')).join(' and ');
}

function rateText({ count, perMs, burst, key, waitMs, waiting, mode }: RateLimit): string {
  const by = key.by === 'header' ? `header ${key.name}` : key.by;
  const wait = waitMs === 0 ? '' : `, ${waiting} wait up to ${waitMs / 1000} s`;
  return `${count} per ${perMs / 1000} s, burst ${burst}, by ${by}${wait}${mode === 'report' ? ' (report only)' : ''}`;
}

function filterText({ events, tags }: FilterSettings): string {
  return [events, tags].flatMap((list) => (list === undefined ? [] : [list.join(' or ')])).join(', and ');
}
