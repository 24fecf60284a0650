import { Command } from 'commander';
import { durationText } from '../config/duration-text.ts';
import { loadConfig } from '../config/load.ts';
import type { Credential, QueueSettings, RateLimit, RouteSettings } from '../settings.ts';
import { configError } from './exit.ts';
import { configOption } from './options.ts';

/** One route as `postern routes` shows it: who may come in, what is checked, where it goes. Never a secret. */
interface Shown {
  name: string;
  host: string;
  path: string;
  headers: string;
  methods: string;
  sender: string;
  addresses: string;
  certificate: string;
  authorization: string;
  signature: string;
  quarantine: string;
  rate: string;
  upstream: string;
  transform: string;
  attest: string;
  deliver: string;
}

/** `postern routes`: what is configured, as a table or JSON. */
export function routesCommand(): Command {
  return new Command('routes')
    .description('show the routes: who may come in, what is checked, where it goes')
    .addOption(configOption())
    .option('--json', 'print an array of routes as JSON')
    .addHelpText('after', '\nExample:\n  postern routes --json')
    .action(async ({ config, json }: { config: string; json?: true }) => {
      const { settings } = await configError(() => loadConfig(config));
      const routes = settings.routes.map(shown);
      console.log(json ? JSON.stringify(routes, undefined, 2) : table(routes));
    });
}

function shown(route: RouteSettings): Shown {
  return {
    name: route.name,
    host: route.host ?? 'any',
    path: route.path,
    headers:
      route.headers.map(({ name, value, secret }) => `${name}: ${secret ? '(secret)' : value}`).join(', ') ||
      '-',
    methods: route.methods?.join(',') ?? 'any',
    sender: route.sender?.name ?? '-',
    addresses: route.addresses === 'any' ? 'any' : route.addresses.join(', '),
    certificate: certificateText(route),
    authorization: route.authorization.map(credentialText).join(' or ') || '-',
    signature:
      route.signature === undefined
        ? '-'
        : `${route.signature.scheme}, ${route.signature.keys.length} secret(s)`,
    quarantine: quarantineText(route),
    rate: route.rateLimits.map(rateText).join(', ') || '-',
    upstream: `${route.upstream.name}${route.upstreamPath ?? ''} (${route.upstream.targets.map(({ name }) => name).join(', ')})`,
    transform: route.transform?.name ?? '-',
    attest: route.attest?.algorithm ?? '-',
    deliver: route.deliver === 'queue' ? queueText(route.queue) : 'forward',
  };
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

function certificateText({ certificate }: RouteSettings): string {
  if (certificate === 'none') return 'none';
  const lists = [certificate.names, certificate.fingerprints, certificate.publicKeys].filter(
    (list) => list !== undefined,
  );
  return lists.length === 0 ? 'any of client_ca' : lists.map((list) => list.join(' or ')).join(' and ');
}

function credentialText(credential: Credential): string {
  return credential.kind === 'header' ? `header ${credential.name}` : credential.kind;
}

function rateText({ count, perMs, burst, key }: RateLimit): string {
  const by = key.by === 'header' ? `header ${key.name}` : key.by;
  return `${count} per ${perMs / 1000} s, burst ${burst}, by ${by}`;
}

/** Each route as a paragraph: a table of twelve columns fits no terminal. */
function table(routes: readonly Shown[]): string {
  const width = Math.max(...Object.keys(routes[0] ?? {}).map((key) => key.length));
  return routes
    .map(({ name, ...rest }) => {
      const lines = Object.entries(rest).filter(([, value]) => value !== '-');
      return [name, ...lines.map(([key, value]) => `  ${key.padEnd(width)}  ${value}`)].join('\n');
    })
    .join('\n\n');
}
