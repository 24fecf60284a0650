import { randomBytes, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, defaults, type Identity } from './support/ca.ts';
import { runCommand } from './support/command.ts';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf } from './support/hold.ts';
import { metric } from './support/metrics.ts';
import { configText, reload } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post, type RequestOptions, requestBytes } from './support/sender.ts';
import { headerOf, headersOf, type SeenRequest, startUpstream, type Upstream } from './support/upstream.ts';

const [secret, strange] = [newSecret(), newSecret()];
const bearer = randomUUID();
const right: [string, string] = ['authorization', `Bearer ${bearer}`];
const wrong: [string, string] = ['authorization', 'Bearer guessed-it'];
const report = { mode: 'report' };

let upstream: Upstream;
let gateway: Gateway;
let good: Identity;
let other: Identity;

const route = (name: string, more: object) => ({
  name,
  path: `/${name}`,
  addresses: 'any',
  upstream: 'app',
  ...more,
});

beforeAll(async () => {
  const { authority } = await defaults();
  upstream = await startUpstream();
  [good, other] = [
    await authority.issue({ commonName: 'good' }),
    await authority.issue({ commonName: 'other' }),
  ];
  const authorization = [{ bearer }];
  const attest = { key: randomBytes(32).toString('base64') };
  const signature = { scheme: 'standard-webhooks', secrets: [secret] };
  const everything = {
    addresses: { list: ['192.0.2.1'], ...report },
    certificate: report,
    authorization: { list: authorization, ...report },
    signature: { ...signature, ...report },
    rate_limit: { rate: '1/1h', ...report },
    unsafe_open: true,
  };
  gateway = await startGateway({
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams: { app: upstream.url },
    // A machine that is busy with other tests must not turn requests away for that.
    limits: { event_loop_delay: '1m' },
    routes: [
      route('roll-out', { certificate: report, authorization, attest }),
      route('names', { certificate: { names: ['CN:good'], ...report }, authorization }),
      route('address', { addresses: { list: ['192.0.2.1'], ...report } }),
      route('senders-addresses', { sender: 'codat', addresses: report, authorization }),
      route('credentials', {
        authorization: { list: [...authorization, { header: { name: 'x-key', value: bearer } }], ...report },
      }),
      route('signed', { signature: { ...signature, ...report }, attest }),
      route('queued', { signature: { ...signature, ...report }, deliver: 'queue' }),
      route('rate', { rate_limit: { rate: '1/1h', ...report } }),
      route('rates', {
        rate_limit: [
          { rate: '1/1h', ...report },
          { rate: '2/1h', by: 'address' },
        ],
      }),
      route('filtered', {
        sender: 'codat',
        signature: { secrets: [secret] },
        filter: { events: ['company.*'], ...report },
      }),
      route('all', everything),
      route('counted', everything),
      route('only-signed', { certificate: report, signature, rate_limit: { rate: '1/1h' } }),
      route('never-signed', { signature: { ...signature, ...report }, rate_limit: { rate: '1/1h' } }),
    ],
  });
});
afterAll(async () => expect(await gateway.stop()).toBe(0));

const send = (path: string, options: Parameters<typeof post>[1] = {}): Promise<Answer> =>
  post(gateway, { path: `/${path}`, identity: good, body: 'x', ...options });

/** Delivered, and the record says what would have been refused; without reasons it says nothing. */
async function lets(answer: Answer, ...reasons: string[]): Promise<SeenRequest> {
  const record = await expectDelivered(gateway, answer);
  expect(record.would_refuse).toEqual(reasons.length === 0 ? undefined : reasons);
  return await upstream.request((one) => headerOf(one, 'x-request-id') === answer.id);
}

const refuses = (act: () => Promise<Answer>, status: number, reason: string) =>
  expectRefused(gateway, upstream, act, status, reason);

describe('the certificate', () => {
  test('mTLS is rolled out on a live flow: who has none goes on, and what comes of it is known', async () => {
    await lets(await send('roll-out', { identity: 'none', headers: [right] }), 'certificate.missing');
    await lets(await send('roll-out', { headers: [right] }));
  });

  test('one that is not listed goes on, and so does none', async () => {
    await lets(await send('names', { identity: other, headers: [right] }), 'certificate.not_allowed');
    await lets(await send('names', { identity: 'none', headers: [right] }), 'certificate.missing');
    await lets(await send('names', { headers: [right] }));
  });

  test('what proves who sends is asked for all the same', async () => {
    await refuses(() => send('roll-out', { identity: 'none' }), 401, 'authorization.missing');
  });

  test('one that is there and that nobody vouches for, or that has expired, stays refused', async () => {
    const stranger = await (await createAuthority('a stranger')).issue({ commonName: 'good' });
    const { authority } = await defaults();
    const expired = await authority.issue({ commonName: 'good', fromDays: -2, untilDays: -1 });
    for (const path of ['roll-out', 'names', 'all']) {
      const by = (identity: Identity) => () => send(path, { identity, headers: [right] });
      await refuses(by(stranger), 403, 'certificate.untrusted');
      await refuses(by(expired), 403, 'certificate.expired');
    }
  });

  test('one that expires while its connection is open stays refused', async () => {
    const { authority } = await defaults();
    const untilMs = (Math.floor(Date.now() / 1000) + 3) * 1000;
    const short = await authority.issue({ commonName: 'good', untilMs });
    const on = await connect(gateway, { identity: short });
    await lets(await send('names', { headers: [right], on }));
    await new Promise((resolve) => setTimeout(resolve, untilMs - Date.now() + 100));
    await refuses(() => send('names', { headers: [right], on }), 403, 'certificate.expired');
  });
});

test('an address that is not listed goes on, be the list the route’s or the sender’s', async () => {
  await lets(await send('address'), 'address.not_allowed');
  await lets(await send('senders-addresses', { headers: [right] }), 'address.not_allowed');
});

describe('authorization', () => {
  test('a credential that is missing, wrong, malformed, or a header of its own that is repeated goes on', async () => {
    await lets(await send('credentials'), 'authorization.missing');
    await lets(await send('credentials', { headers: [wrong] }), 'authorization.wrong');
    await lets(
      await send('credentials', { headers: [['authorization', 'Bearer']] }),
      'authorization.malformed',
    );
    const keys: [string, string][] = [
      ['x-key', bearer],
      ['x-key', bearer],
    ];
    await lets(await send('credentials', { headers: keys }), 'authorization.repeated');
    await lets(await send('credentials', { headers: [right] }));
  });

  test('a repeated Authorization field stays refused: it is the syntax of the request', async () => {
    for (const path of ['credentials', 'all'])
      await refuses(() => send(path, { headers: [right, right] }), 401, 'authorization.repeated');
  });

  test('what would be taken from the upstream is taken already, so that enforcing changes nothing there', async () => {
    const seen = await lets(await send('credentials', { headers: [wrong] }), 'authorization.wrong');
    expect(headersOf(seen, 'authorization')).toEqual([]);
  });
});

describe('the signature', () => {
  const event = (id: string, by: string): RequestOptions => ({ body: '{"a":1}', sign: { secret: by, id } });

  test('one that fails goes on and claims nothing: it is delivered as often as it comes', async () => {
    const id = `msg_${randomUUID()}`;
    for (let time = 0; time < 2; time++) {
      const answer = await send('signed', event(id, strange));
      await lets(answer, 'signature.mismatch');
      const record = await gateway.record(answer.id);
      expect([record.message_id, record.secret]).toEqual([undefined, undefined]);
    }
    expect(deliveriesOf(upstream, id)).toBe(2);
    await lets(await send('signed', { body: '{"a":1}' }), 'signature.missing');
  });

  test('a forged copy does not keep the event itself away, and one that holds is delivered once', async () => {
    const id = `msg_${randomUUID()}`;
    await lets(await send('signed', event(id, strange)), 'signature.mismatch');
    await lets(await send('signed', event(id, secret)));
    await expectDuplicate(gateway, await send('signed', event(id, secret)));
    expect(deliveriesOf(upstream, id)).toBe(2);
  });

  test('on a queue an unproved event is stored under no message id', async () => {
    const id = `msg_${randomUUID()}`;
    for (const by of [strange, strange, secret, secret]) {
      const answer = await send('queued', event(id, by));
      const record = await gateway.record(answer.id);
      const [status, outcome] = [answer.status, record.outcome];
      const proved = by === secret ? id : undefined;
      expect([record.message_id, record.would_refuse]).toEqual([
        proved,
        proved ? undefined : ['signature.mismatch'],
      ]);
      if (outcome === 'duplicate') continue;
      expect([status, outcome]).toEqual([202, 'queued']);
      const delivery = await gateway.line(({ msg, id: of }) => msg === 'delivery' && of === answer.id);
      expect([delivery.outcome, delivery.message_id]).toEqual(['delivered', proved]);
    }
    expect(deliveriesOf(upstream, id)).toBe(3);
  });

  test('is not what keeps strangers from a rate any more', async () => {
    await lets(await send('never-signed'), 'signature.missing');
    await refuses(() => send('never-signed', event(randomUUID(), secret)), 429, 'rate.exceeded');
  });

  test('alone proves who sends where the certificate only reports, so rates come after it', async () => {
    for (let time = 0; time < 2; time++)
      await refuses(() => send('only-signed', { identity: 'none' }), 401, 'signature.missing');
    const one = () => send('only-signed', event(randomUUID(), secret));
    await lets(await one());
    await refuses(one, 429, 'rate.exceeded');
  });
});

describe('the attestation', () => {
  const claimsOf = (seen: SeenRequest) => decodeJwt(headerOf(seen, 'x-postern-attestation') ?? '');

  test('names enforced checks only, also where what is only reported has passed', async () => {
    const passed = claimsOf(await lets(await send('roll-out', { headers: [right] })));
    const failed = claimsOf(
      await lets(await send('roll-out', { identity: 'none', headers: [right] }), 'certificate.missing'),
    );
    expect([passed.checks, failed.checks]).toEqual([['authorization'], ['authorization']]);
    expect([typeof passed.cnf, failed.cnf]).toEqual(['object', undefined]);
  });

  test('vouches for an event id only where its signature holds', async () => {
    const id = `msg_${randomUUID()}`;
    const body = '{"b":1}';
    const forged = await send('signed', { body, sign: { secret: strange, id } });
    const claims = claimsOf(await lets(forged, 'signature.mismatch'));
    expect([claims.checks, claims.event_id]).toEqual([['certificate'], undefined]);
    const held = claimsOf(await lets(await send('signed', { body, sign: { secret, id } })));
    expect([held.checks, held.event_id]).toEqual([['certificate'], id]);
  });
});

test('what is over a rate goes on, and another limit of the same route still refuses', async () => {
  await lets(await send('rate'));
  await lets(await send('rate'), 'rate.exceeded');
  await lets(await send('rates'));
  await lets(await send('rates'), 'rate.exceeded');
  const { record } = await refuses(() => send('rates'), 429, 'rate.exceeded');
  // By address comes first.
  expect(record.would_refuse).toBeUndefined();
});

test('what a filter would leave out, or cannot read, is delivered, and a copy of it is a duplicate', async () => {
  for (const [body, ...reasons] of [
    ['{"eventType":"invoices.write"}', 'filter.unwanted'],
    ['no JSON', 'filter.malformed'],
    ['{"eventType":"company.created"}'],
  ] as const) {
    const sign = { secret, id: `msg_${randomUUID()}` };
    const event = () => post(gateway, { path: '/filtered', identity: good, body, sign });
    await lets(await event(), ...reasons);
    await expectDuplicate(gateway, await event());
  }
});

test('the record lists the reasons in the order of the checks, and a metric counts them', async () => {
  const options = { identity: 'none' as const, headers: [wrong], body: '{"c":1}' };
  const three = ['address.not_allowed', 'certificate.missing', 'authorization.wrong'];
  await lets(await send('counted', options), ...three, 'signature.missing');
  await lets(await send('counted', options), ...three, 'rate.exceeded', 'signature.missing');
  const count = (reason: string) =>
    metric(gateway, `postern_would_refuse_total{route="counted",reason="${reason}"}`);
  expect(await Promise.all([...three, 'rate.exceeded', 'signature.missing'].map(count))).toEqual([
    2, 2, 2, 1, 2,
  ]);
  expect(
    await metric(
      gateway,
      'postern_requests_total{route="counted",outcome="delivered",reason="",status="200"}',
    ),
  ).toBe(2);
});

test('what comes before the checks is no part of it: the size of the body, and the syntax of the request', async () => {
  await refuses(() => send('all', { body: Buffer.alloc(1024 * 1024 + 1) }), 413, 'body.too_large');
  const twice: [string, string] = ['Host', 'localhost'];
  await refuses(() => send('all', { headers: [twice] }), 400, 'request.malformed');
  await refuses(() => send('all', { method: 'CONNECT' }), 405, 'route.method_not_allowed');
});

describe('a gateway in report mode', () => {
  test('admits every address before TLS, says so at start and in /readyz, and enforces after a reload', async () => {
    const routes = (mode: string) => [
      route('shy', {
        addresses: { list: ['192.0.2.1'], mode },
        rate_limit: { rate: '5/1h', by: 'address', mode },
      }),
    ];
    const upstreams = { app: upstream.url };
    const alone = await startGateway({ upstreams, routes: routes('report') });
    const warnings = alone.lines.flatMap(({ warning }) => (warning === undefined ? [] : [warning]));
    expect(warnings.filter((warning) => String(warning).startsWith('routes'))).toEqual([
      expect.stringMatching(/^routes\[0\] shy: addresses: mode report lets in every address; /),
      expect.stringMatching(/^routes\[0\] shy: rate_limit: mode report lets in any rate by address; /),
    ]);
    const answer = await post(alone, { path: '/shy', body: 'x' });
    const record = await expectDelivered(alone, answer);
    expect(record.would_refuse).toEqual(['address.not_allowed']);
    const ready = await fetch(`http://127.0.0.1:${alone.admin?.port}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([
      200,
      'ok, but only reported, not enforced: shy (address, rate by address)\n',
    ]);
    const connection = await connect(alone);
    await reload(alone, { 'postern.yaml': configText({ upstreams, routes: routes('enforce') }) });
    connection.send(requestBytes({ path: '/shy', body: 'x' }));
    expect((await connection.answer()).status).toBe(403);
    expect(await (await fetch(`http://127.0.0.1:${alone.admin?.port}/readyz`)).text()).toBe('ok\n');
    expect(
      await connect(alone).then(
        () => 'let in',
        () => 'closed',
      ),
    ).toBe('closed');
    expect(await alone.stop()).toBe(0);
  });
});

describe('the commands', () => {
  const config = () => ['--config', join(gateway.folder, 'postern.yaml')];

  test('postern routes marks what is only reported', async () => {
    const { stdout } = await runCommand(['routes', ...config(), '--json']);
    const shown = JSON.parse(stdout) as Record<string, string>[];
    expect(shown.find(({ name }) => name === 'counted')).toMatchObject({
      addresses: '192.0.2.1 (report only)',
      certificate: 'any of client_ca (report only)',
      authorization: 'bearer (report only)',
      signature: 'standard-webhooks, 1 secret (report only)',
      rate: '1 per 3600 s, burst 1, by route (report only)',
    });
    expect(shown.find(({ name }) => name === 'filtered')?.filter).toBe('company.* (report only)');
    expect(shown.find(({ name }) => name === 'names')?.authorization).toBe('bearer');
  });

  test('postern explain says which checks would refuse, and that the request is let in', async () => {
    const capture = join(gateway.folder, 'capture.http');
    const path = '/all';
    await writeFile(capture, requestBytes({ path, headers: [wrong], body: 'x' }));
    const options = ['--request', capture, '--address', '203.0.113.9', '--no-certificate'];
    const { stdout, exitCode } = await runCommand(['explain', ...config(), ...options, '--json']);
    const explained = JSON.parse(stdout) as {
      let_in: boolean;
      would_refuse: string[];
      checks: { check: string; answer: string; reason?: string }[];
    };
    const reasons = [
      'address.not_allowed',
      'certificate.missing',
      'authorization.wrong',
      'signature.missing',
    ];
    expect([exitCode, explained.let_in, explained.would_refuse]).toEqual([0, true, reasons]);
    const told = explained.checks.filter(({ answer }) => answer === 'would_refuse');
    expect(told.map(({ check }) => check)).toEqual(['address', 'certificate', 'authorization', 'signature']);
    const plain = await runCommand(['explain', ...config(), ...options]);
    expect(plain.stdout).toMatch(
      /^certificate +would refuse +certificate\.missing: in report mode, so it goes on$/m,
    );
    expect(plain.stdout).toContain(
      `It would be let in; what is only reported would refuse it: ${reasons.join(', ')}, as far as can be told`,
    );
  });

  test('postern explain says of a filter in report mode what it would leave out', async () => {
    const capture = join(gateway.folder, 'capture.http');
    const body = '{"eventType":"invoices.write"}';
    await writeFile(capture, requestBytes({ path: '/filtered', body, sign: { secret } }));
    const options = ['--request', capture, '--address', '203.0.113.9', '--json'];
    const { stdout } = await runCommand(['explain', ...config(), ...options]);
    const { checks } = JSON.parse(stdout) as { checks: { check: string }[] };
    expect(checks.find(({ check }) => check === 'filter')).toMatchObject({
      answer: 'would_refuse',
      reason: 'filter.unwanted',
    });
  });
});
