import { createHmac, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createAuthority } from './support/ca.ts';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { metricOf } from './support/metrics.ts';
import { listed, quarantineRoute, runFor, sendUnproved } from './support/quarantine.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { newSecret } from './support/secrets.ts';
import { connect, post, type RequestOptions, requestBytes, signatureHeaders } from './support/sender.ts';
import { canMount, mountSmallDisk } from './support/small-disk.ts';
import { eventually } from './support/stores.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const [ours, rotated] = [newSecret(), newSecret()];
const body = JSON.stringify({ eventType: 'orders.made', payload: { note: 'a body of its own' } });
const sqlite = { driver: 'sqlite', path: 'state.db' };
let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    state: sqlite,
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams: { app: upstream.url },
    routes: [
      quarantineRoute([ours], {
        sender: 'codat',
        addresses: 'any',
        authorization: [{ bearer: 'a-bearer-token' }],
      }),
      quarantineRoute([ours], { name: 'small', path: '/small', quarantine: { signature: true, limit: 2 } }),
      quarantineRoute([ours], { name: 'named', path: '/named', certificate: { names: ['CN:somebody'] } }),
      quarantineRoute([ours], { name: 'off', path: '/off', quarantine: { signature: false } }),
      quarantineRoute([ours], { name: 'queue', path: '/queue', deliver: 'queue' }),
    ],
  });
});
afterEach(() => upstream.answer());

const headers = [['Authorization', 'Bearer a-bearer-token']] as const;
const idOf = (): string => `msg_${randomUUID()}`;

/** Sends to route `a`, and expects this refusal, and nothing kept of the message. */
async function expectRefused(reason: string, options: RequestOptions): Promise<void> {
  const before = await listed(gateway);
  const answer = await post(gateway, { path: '/a', headers, body, ...options });
  expect(answer.status).toBe(401);
  expect(await gateway.record(answer.id)).toMatchObject({ outcome: 'refused', reason });
  expect(await listed(gateway)).toHaveLength(before.length);
}

describe('a message from a trusted certificate whose signature does not hold', () => {
  test('is acknowledged with 202 and kept, recorded as what it is, and not delivered', async () => {
    const id = idOf();
    const answer = await post(gateway, { path: '/a?x=1', headers, body, sign: { secret: rotated, id } });
    expect([answer.status, answer.body.toString()]).toEqual([202, '']);
    expect(await gateway.record(answer.id)).toMatchObject({
      route: 'a',
      status: 202,
      outcome: 'quarantined',
      reason: 'signature.mismatch',
      detail: '1 secret tried',
      message_id: id,
      event_type: 'orders.made',
    });
    const [event, ...others] = await listed(gateway, '--id', id);
    expect(others).toEqual([]);
    expect(event).toMatchObject({ id: answer.id, state: 'quarantined', route: 'a', attempts: 0 });
    expect(event?.secret).toBeUndefined();
    expect(Date.parse(String(event?.expires)) - Date.parse(String(event?.received))).toBeGreaterThanOrEqual(
      7 * 86_400_000,
    );
    const labels = { route: 'a', state: 'quarantined' };
    expect(await metricOf(gateway, 'postern_queue_events', labels)).toBeGreaterThanOrEqual(1);
    const counted = { route: 'a', outcome: 'quarantined', reason: 'signature.mismatch', status: '202' };
    expect(await metricOf(gateway, 'postern_requests_total', counted)).toBeGreaterThanOrEqual(1);
    const { address, port } = gateway.admin ?? {};
    const usage = (await (await fetch(`http://${address}:${port}/usage`)).json()) as {
      routes: { route: string; requests: { count: number }; let_in: { count: number } }[];
    };
    const used = usage.routes.find(({ route }) => route === 'a');
    expect([used?.requests.count, used?.let_in.count]).toEqual([expect.any(Number), 0]);
    expect(upstream.requests).toEqual([]);
    // The credential that came with it held, and is not kept.
    const exported = await runFor(gateway, 'events', 'export', '--id', id);
    const [line] = exported.stdout.split('\n');
    expect(JSON.parse(line as string)).toMatchObject({
      state: 'quarantined',
      sent: { host: 'localhost', headers: expect.arrayContaining([{ name: 'webhook-id', value: id }]) },
    });
    expect(exported.stdout).not.toContain('a-bearer-token');
  });

  test('claims nothing: a copy with the right signature is delivered, and is no duplicate', async () => {
    const id = idOf();
    await sendUnproved(gateway, { headers, body, sign: { secret: rotated, id } });
    const copy = await post(gateway, { path: '/a', headers, body, sign: { secret: ours, id } });
    await expectDelivered(gateway, copy);
  });

  test('that is sent again byte for byte is acknowledged, and kept once', async () => {
    const bytes = requestBytes({
      path: '/a',
      headers: [...headers, ...signatureHeaders(body, { secret: rotated, id: 'msg_resent' })],
      body,
    });
    const connection = await connect(gateway);
    for (const detail of ['1 secret tried', '1 secret tried; a copy lies there already']) {
      connection.send(bytes);
      const answer = await connection.answer();
      expect(answer.status).toBe(202);
      expect(await gateway.record(answer.header('x-request-id') as string)).toMatchObject({
        outcome: 'quarantined',
        detail,
      });
    }
    connection.close();
    expect(await listed(gateway, '--id', 'msg_resent')).toHaveLength(1);
    // Signed anew it is another, as a retry is.
    const timestampS = Math.floor(Date.now() / 1000) - 30;
    await sendUnproved(gateway, { headers, body, sign: { secret: rotated, id: 'msg_resent', timestampS } });
    expect(await listed(gateway, '--id', 'msg_resent')).toHaveLength(2);
  });

  test('is kept on a route that queues as well', async () => {
    const id = await sendUnproved(gateway, { path: '/queue', body, sign: { secret: rotated } });
    expect(await listed(gateway, '--id', id)).toMatchObject([{ state: 'quarantined', route: 'queue' }]);
  });

  test('is refused beyond the limit, with the reason in the record, until there is room again', async () => {
    const send = () => post(gateway, { path: '/small', body, sign: { secret: rotated } });
    const [first] = [
      await sendUnproved(gateway, { path: '/small', body, sign: { secret: rotated } }),
      await send(),
    ];
    const third = await send();
    expect(third.status).toBe(401);
    expect(await gateway.record(third.id)).toMatchObject({
      outcome: 'refused',
      reason: 'signature.mismatch',
      detail: '1 secret tried; not quarantined: 2 events lie there already',
    });
    expect((await runFor(gateway, 'events', 'discard', first)).stdout).toBe('1 event discarded\n');
    expect((await send()).status).toBe(202);
    expect((await send()).status).toBe(401);
  });

  test('is refused where the route does not say otherwise', async () => {
    const answer = await post(gateway, { path: '/off', body, sign: { secret: rotated } });
    expect(answer.status).toBe(401);
    const record = await gateway.record(answer.id);
    expect(record).toMatchObject({
      outcome: 'refused',
      reason: 'signature.mismatch',
      detail: '1 secret tried',
    });
  });
});

describe('what is refused as ever, and not kept', () => {
  const nowS = () => Math.floor(Date.now() / 1000);
  test('a message without a signature', () => expectRefused('signature.missing', {}));
  test('one that cannot be read', () =>
    expectRefused('signature.malformed', {
      headers: [
        ...headers,
        ['webhook-id', 'msg_1'],
        ['webhook-timestamp', String(nowS())],
        ['webhook-signature', 'v1'],
      ],
    }));
  test('one that is there twice', () => {
    const signed = signatureHeaders(body, { secret: rotated });
    return expectRefused('signature.repeated', {
      headers: [...headers, ...signed, signed[2] as [string, string]],
    });
  });
  test('one that is too old', () =>
    expectRefused('signature.stale', { sign: { secret: rotated, timestampS: nowS() - 3600 } }));
  test('one from the future', () =>
    expectRefused('signature.early', { sign: { secret: rotated, timestampS: nowS() + 3600 } }));

  test('one without the credential that its route asks for', async () => {
    const answer = await post(gateway, { path: '/a', body, sign: { secret: rotated } });
    expect(answer.status).toBe(401);
    expect(await gateway.record(answer.id)).toMatchObject({ reason: 'authorization.missing' });
  });

  test.each([
    ['without a certificate', '/a', 'certificate.missing', 'none'],
    ['with a certificate that the route does not name', '/named', 'certificate.not_allowed', undefined],
  ] as const)('one %s', async (_which, path, reason, identity) => {
    const options = { path, headers, body, sign: { secret: rotated } };
    const answer = await post(gateway, identity === undefined ? options : { ...options, identity });
    expect(answer.status).toBe(403);
    expect(await gateway.record(answer.id)).toMatchObject({ outcome: 'refused', reason });
  });

  test('one with a certificate that nobody vouches for', async () => {
    const stranger = await (await createAuthority('a stranger')).issue({ commonName: 'sender' });
    const options = { path: '/a', headers, body, sign: { secret: rotated }, identity: stranger };
    const answer = await post(gateway, options);
    expect(answer.status).toBe(403);
    expect(await gateway.record(answer.id)).toMatchObject({ reason: 'certificate.untrusted' });
  });
});

describe('what was acknowledged', () => {
  test('is there after kill -9 right behind the answer, and is delivered exactly once when it is released', async () => {
    const config = (secrets: string[]) => ({
      state: sqlite,
      upstreams: { app: upstream.url },
      routes: [quarantineRoute(secrets)],
    });
    const first = await startGateway(config([ours]));
    const ids: string[] = [];
    for (let place = 0; place < 5; place += 1) {
      const id = idOf();
      const answer = await post(first, { path: '/a', body, sign: { secret: rotated, id } });
      expect(answer.status).toBe(202);
      ids.push(id);
    }
    await first.kill9();
    const again = await startGateway(config([ours, rotated]), { folder: first.folder });
    const since = upstream.requests.length;
    const released = await runFor(again, 'events', 'release', '--all');
    expect(released).toEqual({ exitCode: 0, stdout: '5 events released, due now\n', stderr: '' });
    for (const id of ids)
      await again.line(
        (line) => line.msg === 'delivery' && line.message_id === id && line.outcome === 'delivered',
      );
    expect((await runFor(again, 'events', 'release', '--all')).stdout).toBe('0 events released, due now\n');
    const seen = upstream.requests
      .slice(since)
      .map(({ rawHeaders }) => rawHeaders[rawHeaders.indexOf('webhook-id') + 1]);
    expect(seen.toSorted()).toEqual(ids.toSorted());
    expect(await again.stop()).toBe(0);
  });

  test('holds by what its sender sent, also where that does not reach the upstream', async () => {
    const [old, key] = ['a-secret-that-is-long-enough-1', 'a-secret-that-is-long-enough-2'];
    const route = (name: string, secret: string, signature: object) =>
      quarantineRoute([], { name, path: `/${name}`, signature: { ...signature, secrets: [secret] } });
    const odd = {
      scheme: 'hmac',
      header: 'x-client-signature',
      algorithm: 'sha256',
      encoding: 'hex',
      content: '{url}{body}',
    };
    const form = {
      scheme: 'hmac',
      header: 'x-twilio-signature',
      algorithm: 'sha1',
      encoding: 'base64',
      content: '{url}{form}',
    };
    const config = (secret: string) => ({
      state: sqlite,
      upstreams: { app: { targets: [upstream.url], headers: { 'content-type': 'text/plain' } } },
      routes: [route('odd', secret, odd), route('form', secret, form)],
    });
    const first = await startGateway(config(old));
    const url = 'https://hooks.example.com/odd?n=1';
    const mac = createHmac('sha256', key)
      .update(url + body)
      .digest('hex');
    const host = 'hooks.example.com';
    await sendUnproved(first, { path: '/odd?n=1', host, body, headers: [['X-Client-Signature', mac]] });
    const signed = createHmac('sha1', key).update('https://hooks.example.com/formAb').digest('base64');
    const formHeaders = [
      ['Content-Type', 'application/x-www-form-urlencoded'],
      ['X-Twilio-Signature', signed],
    ] as const;
    await sendUnproved(first, { path: '/form', host, body: 'A=b', headers: formHeaders });
    expect(await first.stop()).toBe(0);
    const again = await startGateway(config(key), { folder: first.folder });
    const since = upstream.requests.length;
    expect((await runFor(again, 'events', 'release', '--all')).stdout).toBe('2 events released, due now\n');
    await again.line((line) => line.msg === 'delivery' && line.route === 'odd');
    await again.line((line) => line.msg === 'delivery' && line.route === 'form');
    const seen = upstream.requests.slice(since);
    expect(seen.map(({ target }) => target).toSorted()).toEqual(['/form', '/odd?n=1']);
    expect(JSON.stringify(seen.map(({ rawHeaders }) => rawHeaders))).not.toContain('x-client-signature');
    expect(await again.stop()).toBe(0);
  });

  test.skipIf(!canMount())('is none where the disk is full: the refusal stays 401', async () => {
    const disk = mountSmallDisk(8, 4);
    const full = await startGateway({
      state: { driver: 'sqlite', path: join(disk.folder, 'state.db') },
      upstreams: { app: upstream.url },
      routes: [quarantineRoute([ours])],
    });
    const large = Buffer.alloc(200_000, 'x');
    const kept = new Set<string>();
    const refused = await eventually(async () => {
      const answer = await post(full, { path: '/a', body: large, sign: { secret: rotated } });
      if (answer.status !== 202) return answer;
      kept.add(answer.id);
      return undefined;
    }, 'a full disk');
    expect(refused.status).toBe(401);
    expect(await full.record(refused.id)).toMatchObject({
      outcome: 'refused',
      reason: 'signature.mismatch',
      detail: expect.stringMatching(/^1 secret tried; not quarantined: .*full/),
    });
    disk.free();
    await eventually(async () => {
      const answer = await post(full, { path: '/a', body: large, sign: { secret: rotated } });
      if (answer.status === 202) kept.add(answer.id);
      return answer.status === 202 || undefined;
    }, 'room again');
    expect(new Set((await listed(full)).map(({ id }) => id))).toEqual(kept);
    expect(await full.stop()).toBe(0);
  });

  test.skipIf(!hasRedis())('is none while Redis is away: the refusal stays 401', async () => {
    const redis = await startRedis();
    const away = await startGateway({
      state: { driver: 'redis', url: redis.url },
      upstreams: { app: upstream.url },
      routes: [quarantineRoute([ours])],
    });
    await redis.kill9();
    await away.line(({ msg }) => msg === 'state away');
    const answer = await post(away, { path: '/a', body, sign: { secret: rotated } });
    expect(answer.status).toBe(401);
    expect(await away.record(answer.id)).toMatchObject({
      outcome: 'refused',
      reason: 'signature.mismatch',
      detail: expect.stringMatching(/^1 secret tried; not quarantined: redis: /),
    });
    await redis.start();
    await away.line(({ msg }) => msg === 'state back');
    await sendUnproved(away, { body, sign: { secret: rotated } });
    expect(await away.stop()).toBe(0);
  });

  test('keeps nothing of a certificate that the route only reports on', async () => {
    const reporting = await startGateway({
      upstreams: { app: upstream.url },
      routes: [quarantineRoute([ours], { certificate: { names: ['CN:another'], mode: 'report' } })],
    });
    reporting.secret(rotated);
    const before = upstream.heads();
    const answer = await post(reporting, { path: '/a', body, sign: { secret: rotated } });
    const record = await expectProblem(reporting, answer, 401, 'signature.mismatch');
    expect(record.detail).toContain('not quarantined: its certificate is not one that the route lets in');
    expect(record.would_refuse).toEqual(['certificate.not_allowed']);
    expect(upstream.heads()).toBe(before);
    expect(await reporting.stop()).toBe(0);
  });

  test('is shown by postern routes, and warned of where it ends with the process', async () => {
    const { stdout } = await runFor(gateway, 'routes', '--json');
    expect(JSON.parse(stdout).map((route: { quarantine: string }) => route.quarantine)).toContain(
      'a signature that does not hold: up to 2 events, 168h each',
    );
    const memory = await startGateway({
      upstreams: { app: upstream.url },
      routes: [quarantineRoute([ours])],
    });
    await sendUnproved(memory, { body, sign: { secret: rotated } });
    const checked = await runFor(memory, 'check');
    expect(checked.stdout + checked.stderr).toMatch(
      /routes\[0\] a: quarantine: with state\.driver memory what it acknowledges ends with the process/,
    );
    expect(await memory.stop()).toBe(0);
  });
});
