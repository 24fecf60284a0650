import { settingsOf } from '../../clients.ts';
import { laneOf } from '../../lane.ts';
import type { RouteSettings } from '../../settings.ts';
import type { TallyText, UsageAnswer } from './answer.ts';

type RouteUsage = UsageAnswer['routes'][number];

/** What a running gateway's counts say against its configuration: secrets to be removed, routes that nobody uses. */
export function usageWarnings(
  routes: readonly RouteSettings[],
  { routes: counted }: UsageAnswer,
): readonly string[] {
  const byName = new Map(counted.map((usage) => [usage.route, usage]));
  const idle = counted.filter(({ requests }) => requests.count === 0);
  const met = routes.flatMap((route, index) =>
    settingsOf(route).flatMap((one) => {
      const lane = laneOf(one.name, one.client?.id);
      const usage = byName.get(lane);
      const sentences = usage === undefined || idle.includes(usage) ? [] : ofRoute(one, usage);
      return sentences.map((sentence) => `routes[${index}] ${lane}: ${sentence}`);
    }),
  );
  return [...met, ...ofIdle(idle)];
}

/** In one sentence for all: shortly after a start it is true of most. */
function ofIdle(idle: readonly RouteUsage[]): string[] {
  return [...Map.groupBy(idle, ({ requests }) => requests.since)].map(
    ([since, usages]) =>
      `routes: no request has come since ${since} for ${usages.map(({ route }) => route).join(', ')}`,
  );
}

function ofRoute(route: RouteSettings, { let_in: letIn, requests, secrets }: RouteUsage): string[] {
  if (letIn.count === 0)
    return [`let in none of the ${requests.count} requests that came since ${letIn.since}`];
  return secrets.flatMap((secret, place) => ofSecret(route, secret, place));
}

function ofSecret({ signature }: RouteSettings, { count, last, since }: TallyText, place: number): string[] {
  const where = secretPlace(signature, place);
  if (count > 0 && place > 0)
    return [`${where}: an old secret is still in use, by ${requestsText(count)}, last at ${last}`];
  if (count > 0) return [];
  const advice = place > 0 ? '; if its rotation is over, remove it' : '';
  return [`${where}: never matched since ${since}${advice}`];
}

function requestsText(count: number): string {
  return `${count} request${count === 1 ? '' : 's'}`;
}

/** `signature.secrets[1] (/run/secrets/codat/acme.old)` */
export function secretPlace(signature: RouteSettings['signature'], place: number): string {
  const name = signature?.scheme === 'public-key' ? 'public_keys' : 'secrets';
  const from = signature?.keys[place]?.from;
  return `signature.${name}[${place}]${from === undefined ? '' : ` (${from})`}`;
}
