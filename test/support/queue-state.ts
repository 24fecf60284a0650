import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { eventsCommand } from '../../src/cli/events.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Attempt, EventState, Lease, Queue, QueuedEvent } from '../../src/events.ts';
import { openStore } from '../../src/state.ts';
import type { Store } from '../../src/store-types.ts';
import { defaults } from './ca.ts';
import { type CommandResult, runCommand } from './command.ts';
import { runHere } from './command-here.ts';
import { afterAll } from './ending.ts';
import { baseConfig } from './gateway.ts';

/** What an event is to be; the rest is made up. */
export interface Wanted extends Partial<QueuedEvent> {
  /** `delivered` where it is left out. */
  readonly state?: EventState;
  /** What was tried, in order; where it is left out, once, with an answer that fits the state. */
  readonly tried?: readonly Partial<Attempt>[];
}

/** A configuration with two queued routes, `orders` and `bills`, and its state file, filled by the queue itself. */
export interface QueueState {
  readonly folder: string;
  readonly config: string;
  /** The state file. */
  readonly file: string;
  add(wanted?: Wanted): Promise<QueuedEvent>;
  /** Leases the event that waits on this route, and settles it. */
  settle(event: QueuedEvent, state: 'delivered' | 'dead', tried?: Partial<Attempt>): Promise<void>;
  /** Keeps the claim of a message, as a gateway does that has delivered it. */
  claim(route: string, messageId: string): Promise<void>;
  /** `postern events WORDS…` with this configuration, in this process. */
  run(command: string, ...words: readonly string[]): Promise<CommandResult>;
  /** The same in a process of its own: where several run at one time. */
  runApart(command: string, ...words: readonly string[]): Promise<CommandResult>;
  /** Where a command expects a file of its own. */
  path(name: string): string;
}

const LATER_MS = 3_600_000;

const stores = new Set<Store>();
const folders = new Set<string>();
afterAll(async () => {
  for (const store of stores) await store.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Makes the folder and the configuration; the state file is there once something is added. */
export async function makeQueueState(state: object = {}): Promise<QueueState> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-events-test-'));
  folders.add(folder);
  const { authority, server } = await defaults();
  const config = join(folder, 'postern.yaml');
  const file = join(folder, 'state.db');
  const route = (name: string) => ({
    name,
    path: `/${name}`,
    addresses: 'any',
    upstream: 'app',
    deliver: 'queue',
  });
  const files = {
    'server.pem': server.certificate,
    'server.key': server.key,
    'ca.pem': authority.certificate,
    'postern.yaml': stringify({
      ...baseConfig(),
      state: { driver: 'sqlite', path: 'state.db', ...state },
      upstreams: { app: 'http://127.0.0.1:1' },
      routes: [route('orders'), route('bills')],
    }),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });

  const QUIET = { warn: () => undefined, away: () => undefined, back: () => undefined };
  let opened: Store | undefined;
  const store = async (): Promise<Store> => {
    opened ??= await openStore(loadConfig(config).settings, QUIET);
    stores.add(opened);
    return opened;
  };
  const leaseOf = async (queue: Queue, event: QueuedEvent): Promise<Lease> => {
    const pace = undefined;
    const { leases } = await queue.lease(event.route, { count: 1, leaseMs: LATER_MS, pace });
    if (leases[0]?.event.id !== event.id) throw new Error(`${event.id} is not the one that is due`);
    return leases[0];
  };
  const tryOnce = async (event: QueuedEvent, state: EventState, tried: Partial<Attempt>): Promise<void> => {
    const { queue } = await store();
    const lease = await leaseOf(queue, event);
    if (state === 'delivering') return;
    if (state === 'quarantined') throw new Error('it is not delivered from there');
    const disposal = state === 'waiting' ? { state, dueMs: Date.now() + LATER_MS } : { state };
    const settled = await queue.settle(lease, attemptOf(lease, state, tried), disposal);
    if (!settled) throw new Error(`${event.id} could not be settled`);
  };
  return {
    folder,
    config,
    file,
    async add({ state = 'delivered', tried, ...wanted } = {}) {
      const event = eventOf(wanted);
      await (await store()).queue.accept(event, undefined);
      await tryOnce(event, state, tried?.[0] ?? {});
      return event;
    },
    settle: tryOnce,
    async claim(route, messageId) {
      const key = `${route}\n\n${messageId}`;
      const answer = await (await store()).claim(key, 1000);
      if (answer.state !== 'owned') throw new Error(`${messageId} is claimed already`);
      await (await store()).keep(key, answer.token, { status: 200 }, LATER_MS);
    },
    run: (command, ...words) => runHere(eventsCommand, [command, '--config', config, ...words]),
    runApart: (command, ...words) => runCommand(['events', command, '--config', config, ...words]),
    path: (name) => join(folder, name),
  };
}

function eventOf(wanted: Partial<QueuedEvent>): QueuedEvent {
  const body = wanted.body ?? Buffer.from('{"eventType":"orders.made"}');
  return {
    id: randomUUID(),
    route: 'orders',
    client: '',
    messageId: `msg_${randomUUID()}`,
    eventType: 'orders.made',
    receivedMs: Date.now(),
    orderKey: undefined,
    method: 'POST',
    path: '/orders',
    query: '',
    headers: ['content-type', 'application/json'],
    body,
    bodySha256: createHash('sha256').update(body).digest('hex'),
    address: '192.0.2.7',
    certificate: { subject: 'CN=shop', fingerprint: `sha256:${'ab'.repeat(32)}` },
    secret: 0,
    ...wanted,
  };
}

function attemptOf(lease: Lease, state: EventState, tried: Partial<Attempt>): Attempt {
  return {
    number: lease.attempt,
    startedMs: Date.now(),
    durationMs: 12,
    target: 'http://127.0.0.1:9000',
    status: state === 'delivered' ? 200 : 503,
    reason: undefined,
    detail: undefined,
    answer: Buffer.from('said the upstream'),
    ...tried,
  };
}
