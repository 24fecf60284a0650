import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { CommandResult } from './support/command.ts';
import { expectDelivered, expectDuplicate } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { listed, quarantineRoute, runFor, runWith, sendUnproved } from './support/quarantine.ts';
import { queuedEvent } from './support/queued.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';
import { configText } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { post, signatureHeaders } from './support/sender.ts';
import { openSqlite } from './support/stores.ts';
import { headerOf, headersOf, type SeenRequest, startUpstream, type Upstream } from './support/upstream.ts';

const [ours, rotated, lost] = [newSecret(), newSecret(), newSecret()];
const body = JSON.stringify({ eventType: 'orders.made', payload: { note: 'a body of its own' } });
const redis: RedisServer | undefined = hasRedis() ? await startRedis() : undefined;
let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream();
});
afterEach(() => upstream.answer());

const idOf = (): string => `msg_${randomUUID()}`;
const sqlite = { driver: 'sqlite', path: 'state.db' };
const delivery = (gateway: Gateway, id: string) =>
  gateway.line((line) => line.msg === 'delivery' && line.id === id);
/** What the upstream got of a message. */
const seenOf = (id: string): readonly SeenRequest[] =>
  upstream.requests.filter((request) => headersOf(request, 'webhook-id').includes(id));

/** A gateway, and beside its configuration the one that an operator has put the rotated secret into. */
interface World {
  readonly gateway: Gateway;
  readonly send: (options?: { id?: string; secret?: string; timestampS?: number }) => Promise<string>;
  readonly release: (...words: string[]) => Promise<CommandResult>;
}

async function start(state: object, more: object = {}): Promise<World> {
  const config = (secrets: string[]) => ({
    state,
    upstreams: { app: upstream.url },
    routes: [quarantineRoute(secrets, { sender: 'codat', addresses: 'any', ...more })],
  });
  const files = { 'rotated.yaml': configText(config([ours, rotated])) };
  const gateway = await startGateway(config([ours]), { files });
  gateway.secret(rotated);
  return {
    gateway,
    send: (sign) => sendUnproved(gateway, { body, sign: { secret: rotated, ...sign } }),
    release: (...words) => runWith('rotated.yaml', gateway, 'events', 'release', ...words),
  };
}

const DRIVERS: [string, object][] = [
  ['sqlite', sqlite],
  ...(redis === undefined ? [] : [['redis', { driver: 'redis', url: redis.url }] as [string, object]]),
];

describe.each(DRIVERS)('a release on %s', (_name, state) => {
  let world: World;
  beforeAll(async () => {
    world = await start(state);
  });

  test('delivers once what holds by now, beside a gateway that runs and forwards', async () => {
    const { gateway, send, release } = world;
    const id = idOf();
    const event = await send({ id });
    const early = await runFor(gateway, 'events', 'release', '--all');
    expect(early).toEqual({
      exitCode: 1,
      stdout: '0 events released, due now\n',
      stderr: `${event} (route a): its signature does not hold (signature.mismatch, 1 secret tried); postern explain --id ${event} says more\n`,
    });
    expect(await release('--route', 'a')).toEqual({
      exitCode: 0,
      stdout: '1 event released, due now\n',
      stderr: '',
    });
    expect(await delivery(gateway, event)).toMatchObject({
      outcome: 'delivered',
      attempt: 1,
      message_id: id,
    });
    const [seen, ...others] = seenOf(id);
    expect([seen?.body.toString(), others]).toEqual([body, []]);
    expect(headerOf(seen as SeenRequest, 'x-postern-attempt')).toBe('1');
    expect(await listed(gateway, '--id', event)).toMatchObject([
      { state: 'delivered', secret: 1, event_type: 'orders.made' },
    ]);
    // Its claim is kept: a copy that is signed right is a duplicate.
    await expectDuplicate(gateway, await post(gateway, { path: '/a', body, sign: { secret: ours, id } }));
    const again = await release(event);
    expect(again).toEqual({
      exitCode: 1,
      stdout: '0 events released, due now\n',
      stderr: `${event} (route a) does not lie in quarantine: it is delivered\n`,
    });
    expect(seenOf(id)).toHaveLength(1);
  });

  test('leaves a duplicate of what was delivered meanwhile, which can be discarded', async () => {
    const { gateway, send, release } = world;
    const id = idOf();
    const event = await send({ id });
    await expectDelivered(gateway, await post(gateway, { path: '/a', body, sign: { secret: ours, id } }));
    const { exitCode, stdout } = await release(event, '--json');
    expect([exitCode, JSON.parse(stdout)]).toEqual([
      1,
      {
        released: 0,
        problems: [
          `${event} (route a): a duplicate: its message was delivered or accepted before, so it stays; discard it, or forget the message first`,
        ],
      },
    ]);
    expect(await listed(gateway, '--id', id)).toMatchObject([{ id: event, state: 'quarantined' }]);
    const discarded = await runFor(gateway, 'events', 'discard', '--state', 'quarantined');
    expect(discarded.stdout).toBe('1 event discarded\n');
    expect(await listed(gateway, '--id', id)).toEqual([]);
    expect(seenOf(id)).toHaveLength(1);
  });

  test('waits for a copy that is in flight at the gateway, and begins no second delivery', async () => {
    const { gateway, send, release } = world;
    const id = idOf();
    const event = await send({ id });
    const held = Promise.withResolvers<() => void>();
    upstream.answer((_request, response) => held.resolve(() => response.end('thanks')));
    const copy = post(gateway, { path: '/a', body, sign: { secret: ours, id } });
    const answer = await held.promise;
    expect(await release(event)).toMatchObject({
      exitCode: 1,
      stderr: `${event} (route a): a copy of its message is being delivered at this moment; look again when that has ended\n`,
    });
    answer();
    await expectDelivered(gateway, await copy);
    expect((await release(event)).stderr).toContain(': a duplicate: ');
    expect(seenOf(id)).toHaveLength(1);
    expect((await runFor(gateway, 'events', 'discard', event)).exitCode).toBe(0);
  });

  test('lets of two with one message id the first out: the other is its duplicate', async () => {
    const { gateway, send, release } = world;
    const id = idOf();
    await send({ id });
    await send({ id, timestampS: Math.floor(Date.now() / 1000) - 20 });
    const { exitCode, stdout, stderr } = await release('--type', 'orders.*');
    expect([exitCode, stdout]).toEqual([1, '1 event released, due now\n']);
    expect(stderr).toContain(': a duplicate: ');
    await gateway.line((line) => line.msg === 'delivery' && line.message_id === id);
    expect(seenOf(id)).toHaveLength(1);
    const states = new Set((await listed(gateway, '--id', id)).map(({ state }) => state));
    expect(states).toEqual(new Set(['delivered', 'quarantined']));
  });

  test('leaves a state in which the gateway goes on and ends as it should', async () => {
    expect(await world.gateway.stop()).toBe(0);
  });
});

describe('a release', () => {
  test('leaves what the filter of the route does not want, and without a gateway lets the rest out at its next start', async () => {
    const { gateway, send, release } = await start(sqlite, { filter: { events: ['orders.*'] } });
    const id = idOf();
    const event = await send({ id });
    const other = await sendUnproved(gateway, {
      body: '{"eventType":"bills.made"}',
      sign: { secret: rotated },
    });
    expect(await gateway.stop()).toBe(0);
    expect(await release('--all')).toEqual({
      exitCode: 1,
      stdout: '1 event released, due now\n',
      stderr: `${other} (route a): the filter of its route does not want it, so it stays; discard it\n`,
    });
    expect(await listed(gateway, '--state', 'waiting,quarantined')).toMatchObject([
      { id: other, state: 'quarantined' },
      { id: event, state: 'waiting' },
    ]);
    const again = await startGateway(readFileSync(join(gateway.folder, 'postern.yaml'), 'utf8'), {
      folder: gateway.folder,
    });
    expect(await delivery(again, event)).toMatchObject({ outcome: 'delivered', attempt: 1 });
    expect(seenOf(id)).toHaveLength(1);
    expect(await again.stop()).toBe(0);
  });

  test('judges an event as of the time at which it came, however old it is by now', async () => {
    const { gateway, release } = await start(sqlite);
    const store = await openSqlite(join(gateway.folder, 'state.db'));
    const timestampS = Math.floor(Date.now() / 1000) - 3 * 86_400;
    const receivedMs = timestampS * 1000;
    const id = idOf();
    const signed = signatureHeaders(body, { secret: rotated, id, timestampS }).flat();
    const event = queuedEvent({
      body: Buffer.from(body),
      receivedMs,
      headers: signed,
      evidence: {
        authority: 'localhost',
        headers: signed,
        certificate: { names: [], publicKey: '', notAfterMs: receivedMs },
      },
    });
    const late = queuedEvent({ ...event, id: randomUUID(), receivedMs: receivedMs + 3_600_000 });
    const bounds = { limit: 2, ageMs: 86_400_000 };
    for (const one of [event, late])
      expect(await store.queue.quarantine(one, { ...bounds, print: one.id })).toBe('stored');
    await store.close();
    expect(await release(late.id, event.id)).toEqual({
      exitCode: 1,
      stdout: '1 event released, due now\n',
      stderr: expect.stringContaining(
        `${late.id} (route a): its signature does not hold (signature.stale, 3600 s old)`,
      ),
    });
    expect(await delivery(gateway, event.id)).toMatchObject({ outcome: 'delivered', message_id: id });
    expect(await gateway.stop()).toBe(0);
  });

  test('is wrong use with too little or too much said', async () => {
    const { gateway, release } = await start(sqlite);
    const wrong = [
      [[], /say which: ids, or --route/],
      [['x', '--all'], /give ids .* or other filters, not both/],
      [['--all', '--force', '--reason', 'why'], /--force takes ids/],
      [['x', '--force'], /--force needs --reason/],
      [['x', '--force', '--reason', ' '], /--force needs --reason/],
      [['x', '--reason', 'why'], /--reason belongs to --force/],
    ] as const;
    const results = await Promise.all(wrong.map(([words]) => release(...words)));
    for (const [place, { exitCode, stderr }] of results.entries())
      expect([exitCode, stderr]).toEqual([2, expect.stringMatching(wrong[place]?.[1] as RegExp)]);
    expect(await release('nowhere')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^nowhere: there is no such event/),
    });
    expect(await gateway.stop()).toBe(0);
  });
});

describe('--force', () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const reason = 'the sender confirmed it, ticket "4711"';
  const marked = { by: userInfo().username, at: expect.stringMatching(/^\d{4}-.*Z$/), reason };
  const id = idOf();
  let world: World;
  /** One that holds by no secret, one that holds, and another with the first one's message id. */
  let events: { forced: string; proved: string; same: string };

  beforeAll(async () => {
    world = await start(sqlite, { attest: { key } });
    const { send } = world;
    const timestampS = Math.floor(Date.now() / 1000) - 20;
    const [forced, proved, same] = await Promise.all([
      send({ secret: lost, id }),
      send(),
      send({ secret: lost, id, timestampS }),
    ]);
    events = { forced, proved, same };
  });

  test('takes no message id that several have', async () => {
    const { exitCode, stdout, stderr } = await world.release(id, '--force', '--reason', reason);
    expect([exitCode, stdout]).toEqual([1, '0 events released, due now\n']);
    expect(stderr).toMatch(/names 2 events: give --force the own id of one: /);
  });

  test('delivers what somebody vouches for, and says so to the service, which is attested no signature', async () => {
    const { forced, proved } = events;
    // One of them holds, and so needs nobody who vouches for it.
    const released = await world.release(forced, proved, '--force', '--reason', reason);
    expect(released).toEqual({ exitCode: 0, stdout: '2 events released, due now\n', stderr: '' });
    expect(await delivery(world.gateway, forced)).toMatchObject({ outcome: 'delivered', forced: true });
    expect(await delivery(world.gateway, proved)).not.toHaveProperty('forced');
    const fieldOf = (event: string, name: string): string | undefined => {
      const seen = upstream.requests.find((one) => headersOf(one, 'x-request-id')[0] === event);
      return headerOf(seen as SeenRequest, name);
    };
    const attested = (event: string) => decodeJwt(fieldOf(event, 'x-postern-attestation') as string);
    expect([forced, proved].map((event) => fieldOf(event, 'x-postern-forced'))).toEqual(['1', undefined]);
    const checks = ['certificate', 'signature'];
    expect(attested(proved)).toMatchObject({ checks, event_id: expect.any(String) });
    expect(attested(forced).checks).toEqual(['certificate']);
    expect(attested(forced)).not.toHaveProperty('event_id');
  });

  test('is told wherever the event is shown', async () => {
    const { gateway } = world;
    const [all, table, shown] = await Promise.all([
      listed(gateway),
      runFor(gateway, 'events', 'list'),
      runFor(gateway, 'events', 'show', events.forced),
    ]);
    const byId = (wanted: string) => all.find((one) => one.id === wanted);
    expect(byId(events.forced)).toMatchObject({ state: 'delivered', forced: marked });
    expect(byId(events.proved)).toMatchObject({ state: 'delivered', secret: 1 });
    expect(byId(events.proved)).not.toHaveProperty('forced');
    expect(table.stdout).toContain('delivered, forced');
    expect(shown.stdout).toMatch(new RegExp(`^forced +by ${userInfo().username} at .*: ${reason}$`, 'm'));
  });

  test('is kept in the audit, whose chain can be verified, and not altered', async () => {
    const { gateway } = world;
    const file = join(gateway.folder, 'audit.jsonl');
    expect((await runFor(gateway, 'events', 'audit', '--file', file)).stdout).toContain('2 lines appended');
    const text = readFileSync(file, 'utf8');
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.find((line) => line.id === events.forced)).toMatchObject({
      verdict: 'delivered',
      forced: marked,
    });
    expect(lines.find((line) => line.id === events.proved)).not.toHaveProperty('forced');
    const verify = (name: string) => runFor(gateway, 'events', 'audit', '--verify', '--file', name);
    const altered = join(gateway.folder, 'altered.jsonl');
    writeFileSync(altered, text.replace('ticket', 'tickets'), { mode: 0o600 });
    const [right, wrong] = await Promise.all([verify(file), verify(altered)]);
    expect([right.exitCode, wrong.exitCode]).toEqual([0, 1]);
  });

  test('keeps its claim, so that every other copy is a duplicate', async () => {
    const { gateway, release } = world;
    await expectDuplicate(gateway, await post(gateway, { path: '/a', body, sign: { secret: ours, id } }));
    const [again, retried] = await Promise.all([
      release(events.same, '--force', '--reason', reason),
      runFor(gateway, 'events', 'retry', events.same),
    ]);
    expect([again.exitCode, again.stderr]).toEqual([1, expect.stringContaining(': a duplicate: ')]);
    expect([retried.exitCode, retried.stderr]).toEqual([
      1,
      `${events.same} (route a) lies in quarantine, and was never delivered; release it\n`,
    ]);
    expect(seenOf(id)).toHaveLength(1);
    expect(await gateway.stop()).toBe(0);
  });
});
