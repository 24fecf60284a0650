import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Gateway, startGateway } from './gateway.ts';
import { QUICK_SENDER } from './quick-sender.ts';
import { newSecret } from './secrets.ts';
import { type Answer, type Connection, post } from './sender.ts';
import { headerOf, type SeenRequest, type Upstream } from './upstream.ts';

const secret = newSecret();
const STATE = 'state.db';

/** Gateways of one configuration whose claims outlast any test: what comes free before that was freed by a rule. */
export function stateConfig(upstream: Upstream): Record<string, unknown> {
  const common = {
    addresses: 'any',
    upstream: 'app',
    signature: { scheme: 'standard-webhooks', secrets: [secret] },
  };
  return {
    state: { driver: 'sqlite', path: STATE },
    upstreams: { app: { targets: [upstream.url], timeout: '20s', late: '60s' } },
    routes: [
      { name: 'a', path: '/a', ...common },
      { name: 'quick', path: '/quick', sender: 'quick', ...common },
      { name: 'queued', path: '/queued', deliver: 'queue', ...common },
    ],
  };
}

/** Starts a gateway on a port of its own; on the state of others where their folder is given. */
export function startOn(upstream: Upstream, folder?: string): Promise<Gateway> {
  return startGateway(stateConfig(upstream), {
    files: { 'senders/quick.yaml': QUICK_SENDER },
    ...(folder === undefined ? {} : { folder }),
  });
}

export const newId = (): string => `msg_${randomUUID()}`;

/** Sends an event, on `on` or over a connection of its own. */
export function send(gateway: Gateway, id: string, on?: Connection, path = '/a'): Promise<Answer> {
  const body = '{"eventType":"shared.test","payload":{"n":3}}';
  return post(gateway, { path, body, sign: { secret, id }, ...(on === undefined ? {} : { on }) });
}

/** Resolves once the upstream has the event, so many times. */
export function reached(upstream: Upstream, id: string, times = 1): Promise<SeenRequest> {
  const seen = new Set<SeenRequest>();
  return upstream.request((one) => {
    if (headerOf(one, 'webhook-id') === id) seen.add(one);
    return seen.size >= times;
  });
}

/** The state file, opened as another program would. */
export function openState({ folder }: Gateway): DatabaseSync {
  return new DatabaseSync(join(folder, STATE), { timeout: 5000 });
}

/** What lies beside the state file, without what SQLite itself needs. */
export function besides({ folder }: Gateway): string[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(STATE) && !/^state\.db(?:-wal|-shm)?$/.test(name))
    .sort();
}
