import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, defaults } from './support/ca.ts';
import { type Door, startDoor, startUnreachable } from './support/door.ts';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf, holdAnswers, settled } from './support/hold.ts';
import type { RequestLine } from './support/log-line.ts';
import { metricOf } from './support/metrics.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, post } from './support/sender.ts';
import { startUpstream, type Upstream, unusedPort } from './support/upstream.ts';

/**
 * An https target that ends each connection before the handshake is one that cannot be connected to, and it can be
 * counted how often that was tried.
 */
const secret = newSecret();
/** What keeps a connection from being made, and how that is named. */
const HINDRANCES = {
  refused: /ECONNREFUSED/,
  unreachable: /ETIMEDOUT/,
  'unknown-name': /ENOTFOUND|EAI_AGAIN|ETIMEDOUT/,
  'no-socket': /ENOENT/,
  'other-name': /ERR_TLS_CERT_ALTNAME_INVALID/,
  untrusted: /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT|SELF_SIGNED/,
};

let secure: Upstream;
let taking: Upstream;
let gateway: Gateway;
const doors: Record<string, Door> = {};
const doorOf = (name: string): Door => doors[name] as Door;

beforeAll(async () => {
  const { authority, server } = await defaults();
  const elsewhere = await authority.issue({
    usage: 'server',
    names: [{ type: 'dns', value: 'elsewhere.example' }],
  });
  const stranger = await (await createAuthority('Stranger')).issue({
    usage: 'server',
    names: [{ type: 'ip', value: '127.0.0.1' }],
  });
  const [good, otherName, untrusted] = await Promise.all(
    [server, elsewhere, stranger].map((one) =>
      startUpstream({ tls: { cert: one.certificate, key: one.key } }),
    ),
  );
  secure = good as Upstream;
  taking = await startUpstream({ answer: (_request, response) => response.socket?.resetAndDestroy() });
  for (const name of ['bad', 'failing', 'one', 'two', 'single', 'returning', 'narrow', 'silent'])
    doors[name] = await startDoor(secure, name === 'silent' ? 'hold' : 'drop');
  for (const name of ['kept', 'kept-pair']) doors[name] = await startDoor(secure);
  const hindered = {
    refused: `http://127.0.0.1:${await unusedPort()}`,
    unreachable: await startUnreachable(),
    'unknown-name': 'http://nothing.invalid',
    'no-socket': 'http+unix:/nowhere/app.sock',
    'other-name': (otherName as Upstream).url,
    untrusted: (untrusted as Upstream).url,
  };
  const patient = { connect_timeout: '10s' };
  const upstreams: Record<string, Record<string, unknown>> = {
    pair: {
      targets: [doorOf('bad').url, secure.url],
      eject: { failures: 3, duration: '300ms' },
      ...patient,
    },
    failing: { targets: [doorOf('failing').url, secure.url], eject: { failures: 1, duration: '50ms' } },
    both: {
      targets: [doorOf('one').url, doorOf('two').url],
      eject: { failures: 1, duration: '24h' },
    },
    single: { targets: [doorOf('single').url], eject: { failures: 2, duration: '24h' } },
    returning: { targets: [doorOf('returning').url], eject: { failures: 2, duration: '24h' } },
    kept: { targets: [doorOf('kept').url], connections: 2, eject: { failures: 1, duration: '1ms' } },
    'kept-pair': {
      targets: [doorOf('kept-pair').url, secure.url],
      eject: { failures: 1, duration: '1ms' },
    },
    narrow: {
      targets: [doorOf('narrow').url, secure.url],
      connections: 1,
      eject: { failures: 1000, duration: '24h' },
    },
    silent: { targets: [doorOf('silent').url], timeout: '1s', late: '20s', ...patient },
    taking: { targets: [taking.url, secure.url] },
  };
  for (const [name, target] of Object.entries(hindered)) {
    upstreams[name] = { targets: [target], connect_timeout: '1s' };
    upstreams[`${name}-pair`] = { targets: [target, secure.url], connect_timeout: '1s' };
  }
  const common = { addresses: 'any', signature: { secrets: [secret] } };
  const withTls = Object.entries(upstreams).map(([name, upstream]) => {
    const isSecure = (upstream.targets as string[]).some((target) => target.startsWith('https:'));
    return [name, { ...(isSecure ? { tls: { ca: 'upstream-ca.pem' } } : {}), ...upstream }] as const;
  });
  gateway = await startGateway(
    {
      upstreams: Object.fromEntries(withTls),
      routes: Object.keys(upstreams).map((name) => ({ name, path: `/${name}`, upstream: name, ...common })),
    },
    { files: { 'upstream-ca.pem': authority.certificate } },
  );
});

const newId = (): string => `msg_${randomUUID()}`;
const send = (upstream: string, id: string): Promise<Answer> =>
  post(gateway, { path: `/${upstream}`, body: `{"id":"${id}"}`, sign: { secret, id } });

/** Sends a new event, which must be delivered, and once. */
async function deliver(upstream: string): Promise<RequestLine> {
  const id = newId();
  const record = await expectDelivered(gateway, await send(upstream, id));
  expect(deliveriesOf(secure, id)).toBe(1);
  return record;
}

const isUp = (upstream: string, target: string): Promise<number | undefined> =>
  metricOf(gateway, 'postern_upstream_target_up', { upstream, target });
const targetsOf = (msg: string, upstream: string) =>
  gateway.lines.filter((line) => line.msg === msg && line.upstream === upstream).map(({ target }) => target);

describe('a target that cannot be connected to', () => {
  test('is passed over, and left alone after three failures in a row', async () => {
    const bad = doorOf('bad');
    expect(await isUp('pair', bad.url)).toBe(1);
    for (let count = 0; count < 12; count++) expect((await deliver('pair')).upstream).toBe(secure.url);
    expect(bad.connections()).toBeGreaterThanOrEqual(3);
    const line = await gateway.line(({ msg, upstream }) => msg === 'target ejected' && upstream === 'pair');
    expect(line).toMatchObject({ level: 'warn', target: bad.url });
    expect(line.detail).toMatch(/^3 connections in a row could not be made, the last by ECONNRESET: /);
    expect([await isUp('pair', bad.url), await isUp('pair', secure.url)]).toEqual([0, 1]);
    const counted = { upstream: 'pair', target: bad.url };
    const failures = await metricOf(gateway, 'postern_upstream_connect_failures_total', counted);
    expect(failures).toBe(bad.connections());
  });

  test('is tried again after a while, by one request alone', async () => {
    const bad = doorOf('bad');
    bad.set('hold');
    const before = bad.connections();
    const trial: Promise<Answer>[] = [];
    while (bad.connections() === before) {
      const answer = send('pair', newId());
      trial.push(answer);
      await Promise.race([answer, bad.reached(before + 1)]);
    }
    for (let count = 0; count < 6; count++) expect((await deliver('pair')).upstream).toBe(secure.url);
    expect(bad.connections()).toBe(before + 1);
    expect(await isUp('pair', bad.url)).toBe(0);
    // The trial goes well now, and the request that was it is the first to be delivered there.
    bad.set('pass');
    for (const answer of await Promise.all(trial)) await expectDelivered(gateway, answer);
    expect(await isUp('pair', bad.url)).toBe(1);
    const places = new Set([(await deliver('pair')).upstream, (await deliver('pair')).upstream]);
    expect(places).toEqual(new Set([bad.url, secure.url]));
    expect(targetsOf('target ejected', 'pair')).toEqual([bad.url]);
    expect(targetsOf('target back', 'pair')).toEqual([bad.url]);
  });

  test('stays out when its trial fails, and the trial is delivered by another', async () => {
    const failing = doorOf('failing');
    while (failing.connections() < 4) expect((await deliver('failing')).upstream).toBe(secure.url);
    expect(await isUp('failing', failing.url)).toBe(0);
    expect(targetsOf('target ejected', 'failing')).toEqual([failing.url]);
    expect(targetsOf('target back', 'failing')).toEqual([]);
  });
});

test('when every target is ejected they are tried all the same, each once a request', async () => {
  const [one, two] = [doorOf('one'), doorOf('two')];
  const id = newId();
  for (const count of [1, 2]) {
    const record = await expectProblem(gateway, await send('both', id), 502, 'upstream.unreachable');
    expect([one.connections(), two.connections()]).toEqual([count, count]);
    for (const { url } of [one, two]) expect(record.detail).toContain(`${url}: ECONNRESET`);
  }
  expect([await isUp('both', one.url), await isUp('both', two.url)]).toEqual([0, 0]);
  expect(deliveriesOf(secure, id)).toBe(0);
  // The event that failed is free, and the first target that works is back at once.
  two.set('pass');
  const record = await expectDelivered(gateway, await send('both', id));
  expect([record.upstream, deliveriesOf(secure, id)]).toEqual([two.url, 1]);
  expect([await isUp('both', one.url), await isUp('both', two.url)]).toEqual([0, 1]);
  const before = one.connections();
  for (let count = 0; count < 4; count++) expect((await deliver('both')).upstream).toBe(two.url);
  expect(one.connections()).toBe(before);
});

describe('where new connections cannot be made and kept ones work', () => {
  /** Keeps a connection to the target, turns new ones away, and lets one be tried beside the kept one. */
  async function turnAway(upstream: string): Promise<Door> {
    const door = doorOf(upstream);
    while (door.connections() === 0) await deliver(upstream);
    await deliver(upstream);
    door.turnAway();
    const { release } = holdAnswers(secure);
    const since = gateway.lines.length;
    const answers = Array.from({ length: 4 }, () => send(upstream, newId()));
    await gateway.line((line) => line.msg === 'target ejected' && line.upstream === upstream, since);
    secure.answer();
    release();
    await Promise.all(answers);
    return door;
  }

  test('a single target goes on over those', async () => {
    const door = await turnAway('kept');
    for (let count = 0; count < 4; count++) expect((await deliver('kept')).upstream).toBe(door.url);
    expect([await isUp('kept', door.url), door.connections()]).toEqual([0, 1]);
  });

  test('a trial is a new connection all the same: it asks whether those can be made', async () => {
    const door = await turnAway('kept-pair');
    for (let count = 0; count < 6; count++) expect((await deliver('kept-pair')).upstream).toBe(secure.url);
    expect([await isUp('kept-pair', door.url), door.connections()]).toEqual([0, 1]);
    await door.open();
    while ((await isUp('kept-pair', door.url)) !== 1) await deliver('kept-pair');
    expect(door.connections()).toBe(2);
  });
});

test('a single target is tried once a request, and by every request', async () => {
  const door = doorOf('single');
  for (let count = 1; count <= 4; count++) {
    await expectProblem(gateway, await send('single', newId()), 502, 'upstream.unreachable');
    expect(door.connections()).toBe(count);
  }
  expect(await isUp('single', door.url)).toBe(0);
  door.set('pass');
  await deliver('single');
  expect(await isUp('single', door.url)).toBe(1);
});

test('failures with successes between them are not in a row', async () => {
  const door = doorOf('returning');
  for (let count = 0; count < 3; count++) {
    door.set('drop');
    await expectProblem(gateway, await send('returning', newId()), 502, 'upstream.unreachable');
    door.set('pass');
    await deliver('returning');
  }
  expect(targetsOf('target ejected', 'returning')).toEqual([]);
});

test('a request that could not be sent somewhere waits for a target where it has not been', async () => {
  const { arrived, release } = holdAnswers(secure);
  const ids = [newId(), newId(), newId()] as const;
  const first = send('narrow', ids[0]);
  await arrived;
  const others = [send('narrow', ids[1]), send('narrow', ids[2])];
  await doorOf('narrow').reached(2);
  await settled(gateway);
  expect(ids.map((id) => deliveriesOf(secure, id))).toEqual([1, 0, 0]);
  secure.answer();
  release();
  for (const answer of [first, ...others])
    expect((await expectDelivered(gateway, await answer)).upstream).toBe(secure.url);
  expect(ids.map((id) => deliveriesOf(secure, id))).toEqual([1, 1, 1]);
});

describe('whatever keeps a connection from being made, no byte was sent and another target gets the event', () => {
  test.each(Object.entries(HINDRANCES))('%s', async (name, words) => {
    const id = newId();
    const record = await expectProblem(gateway, await send(name, id), 502, 'upstream.unreachable');
    expect(record.detail).toMatch(words);
    expect([deliveriesOf(secure, id), deliveriesOf(taking, id)]).toEqual([0, 0]);
    for (let count = 0; count < 2; count++) expect((await deliver(`${name}-pair`)).upstream).toBe(secure.url);
  });
});

test('a target that is still being connected to when the time is up got nothing, and the event is free', async () => {
  const id = newId();
  const record = await expectProblem(gateway, await send('silent', id), 504, 'upstream.timeout');
  expect(record.detail).toBe(`still connecting to ${doorOf('silent').url}`);
  doorOf('silent').set('pass');
  await expectDelivered(gateway, await send('silent', id));
  expect(deliveriesOf(secure, id)).toBe(1);
  expect(gateway.lines.filter(({ msg }) => msg === 'late answer')).toEqual([]);
});

test('from its first byte on a request goes nowhere else', async () => {
  const failed: boolean[] = [];
  for (let count = 0; count < 4; count++) {
    const id = newId();
    const answer = await send('taking', id);
    const wasTaken = deliveriesOf(taking, id) === 1;
    failed.push(wasTaken);
    expect(deliveriesOf(secure, id)).toBe(wasTaken ? 0 : 1);
    if (wasTaken) await expectProblem(gateway, answer, 502, 'upstream.reset');
    else await expectDelivered(gateway, answer);
  }
  expect(failed.filter(Boolean)).toHaveLength(2);
  expect(await isUp('taking', taking.url)).toBe(1);
});
