import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { beforeAll, describe, expect, test } from 'vitest';
import { defaults } from './support/ca.ts';
import { expectDelivered } from './support/expect.ts';
import { type Gateway, startAndEnd, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { connect, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const token = `token-${randomUUID()}`;
const password = `password-${randomUUID()}`;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    routes: [
      {
        name: 'codat',
        path: '/codat',
        addresses: 'any',
        sender: 'codat',
        signature: { secrets: [secret] },
        upstream: 'app',
      },
      { name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' },
      {
        name: 'login',
        path: '/login',
        addresses: 'any',
        authorization: [{ basic: { username: 'codat', password } }],
        upstream: 'app',
      },
    ],
  });
});

interface AdminAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

function ask(
  of: Gateway,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<AdminAnswer> {
  const { port } = of.admin as { port: number };
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port, path, headers, method, agent: false },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      },
    );
    request.on('error', reject);
    request.end();
  });
}

describe('the record of a request', () => {
  test('says all that section 6 lists, and nothing of the query, the body or a secret', async () => {
    const { client } = await defaults();
    const body = '{"eventType":"invoices.write.successful","payload":{"iban":"GB33BUKB20201555555555"}}';
    const id = `msg_${randomUUID()}`;
    const answer = await post(gateway, { path: '/codat?token=in-the-query', body, sign: { secret, id } });
    await expectDelivered(gateway, answer);
    const { time: _time, level: _level, ...record } = await gateway.record(answer.id);
    expect(record).toEqual({
      msg: 'request',
      id: answer.id,
      route: 'codat',
      sender: 'codat',
      peer: { address: '127.0.0.1', certificate: { subject: 'CN=sender', fingerprint: client.fingerprint } },
      method: 'POST',
      path: '/codat',
      status: 200,
      outcome: 'delivered',
      message_id: id,
      event_type: 'invoices.write.successful',
      secret: 0,
      bytes: Buffer.byteLength(body),
      upstream: record.upstream,
      upstream_status: 200,
      ms: record.ms,
    });
    expect(answer.id).toMatch(UUID);
    for (const ms of [record.ms.total, record.ms.body, record.ms.upstream])
      expect(ms).toBeGreaterThanOrEqual(0);
    expect(record.upstream).toBe(upstream.url);
    expect(gateway.output()).not.toContain('in-the-query');
    expect(gateway.output()).not.toContain('GB33BUKB20201555555555');
    const seen = await upstream.request((one) => headerOf(one, 'webhook-id') === id);
    expect(seen.target).toBe('/codat?token=in-the-query');
  });

  test('is one line for every request, refused ones too, each with its own id', async () => {
    const since = gateway.lines.length;
    const connection = await connect(gateway);
    const ids: string[] = [];
    for (const path of ['/plain', '/nowhere', '/login', '/plain'])
      ids.push((await post(gateway, { path, body: 'x', on: connection })).id);
    connection.close();
    for (const id of ids) await gateway.record(id);
    const lines = gateway.lines.slice(since).filter((line) => line.msg === 'request');
    expect(lines.map((line) => line.id)).toEqual(ids);
    expect(new Set(ids).size).toBe(4);
    expect(lines.map((line) => [line.outcome, line.reason, line.status])).toEqual([
      ['delivered', undefined, 200],
      ['refused', 'route.not_found', 404],
      ['refused', 'authorization.missing', 401],
      ['delivered', undefined, 200],
    ]);
  });

  test('cannot be forged by what a sender writes', async () => {
    const since = gateway.lines.length;
    const type = 'x"}\n{"msg":"request","outcome":"forged"}';
    const body = JSON.stringify({ eventType: type });
    const answer = await post(gateway, { path: '/codat', body, sign: { secret } });
    await expectDelivered(gateway, answer);
    const quoted = await post(gateway, { path: '/nowhere"}', headers: [['user-agent', '\\"}']], body: 'x' });
    expect((await gateway.record(quoted.id)).path).toBe('/nowhere"}');
    expect(gateway.lines.slice(since).map((line) => line.outcome)).not.toContain('forged');
  });

  test('does not hold a wrong credential either', async () => {
    const guess = `guess-${randomUUID()}`;
    gateway.secret(guess);
    const basic = Buffer.from(`codat:${guess}`).toString('base64');
    gateway.secret(basic);
    expect(
      (await post(gateway, { path: '/login', headers: [['authorization', `Basic ${basic}`]], body: 'x' }))
        .status,
    ).toBe(401);
    expect(
      (await post(gateway, { path: '/login', headers: [['authorization', `Bearer ${guess}`]], body: 'x' }))
        .status,
    ).toBe(401);
  });
});

describe('the admin listener', () => {
  test('/healthz and /readyz say 200 while the gateway serves', async () => {
    expect((await ask(gateway, '/healthz')).status).toBe(200);
    expect((await ask(gateway, '/readyz')).status).toBe(200);
  });

  test('/metrics counts requests by their fate, under postern_*', async () => {
    await post(gateway, { path: '/plain', body: 'x' });
    await post(gateway, { path: '/nowhere', body: 'x' });
    const { status, headers, body } = await ask(gateway, '/metrics');
    expect([status, headers['content-type']]).toEqual([
      200,
      expect.stringMatching(/^(text\/plain|application\/openmetrics-text)/),
    ]);
    const names = [...body.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1] as string);
    // Node's and the process's own customary names stand beside ours.
    expect(names.filter((name) => !/^(postern|process|nodejs)_/.test(name))).toEqual([]);
    expect(names.filter((name) => name.startsWith('postern_')).length).toBeGreaterThan(0);
    expect(body).toMatch(/^postern_\w+\{[^}]*route="plain"[^}]*\} [1-9]/m);
    expect(body).toMatch(/^postern_\w+\{[^}]*reason="route\.not_found"[^}]*\} [1-9]/m);
    expect(body).not.toContain('/nowhere');
  });

  test('knows no other path and changes nothing by another method', async () => {
    expect((await ask(gateway, '/nothing')).status).toBe(404);
    expect((await ask(gateway, '/metrics', {}, 'POST')).status).toBe(405);
  });

  test('with a token asks for it, but never for /healthz and /readyz', async () => {
    const guarded = await startGateway({
      admin: { address: '0.0.0.0', port: 0, token },
      upstreams: { app: upstream.url },
      routes: [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }],
    });
    expect((await ask(guarded, '/healthz')).status).toBe(200);
    expect((await ask(guarded, '/readyz')).status).toBe(200);
    expect((await ask(guarded, '/metrics')).status).toBe(401);
    expect((await ask(guarded, '/metrics', { authorization: `Bearer ${token}x` })).status).toBe(401);
    expect((await ask(guarded, '/metrics', { authorization: `Bearer ${token}` })).status).toBe(200);
    expect(await guarded.stop()).toBe(0);
  });

  test('off loopback without a token is a configuration error', async () => {
    const { code, output } = await startAndEnd({
      admin: { address: '0.0.0.0', port: 0 },
      upstreams: { app: upstream.url },
      routes: [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }],
    });
    expect(code).toBe(78);
    expect(output).toMatch(/postern\.yaml:\d+:\d+ admin\S*: .*token/);
  });

  test('can be switched off', async () => {
    const silent = await startGateway({
      admin: false,
      upstreams: { app: upstream.url },
      routes: [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }],
    });
    expect(silent.admin || undefined).toBeUndefined();
    await expectDelivered(silent, await post(silent, { path: '/plain', body: 'x' }));
    expect(await silent.stop()).toBe(0);
  });
});
