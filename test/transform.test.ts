import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf } from './support/hold.ts';
import { replaceFile, untilRefused, untilReloaded } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, post } from './support/sender.ts';
import { headerOf, headersOf, startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();

/** Codat's documentation, "Transform webhook": its example to the letter. */
const COMPLIANT = `function handler(webhook) {
if (webhook.payload.payload.referenceCompany.tags === undefined) {
return webhook;
}

if (
webhook.payload.payload.referenceCompany.tags["us-compliant"] === "true"
) {
webhook.cancel = true;
}

// and return it
return webhook;
}
`;

const handler = (code: string): string => `function handler(webhook) {\n${code}\nreturn webhook;\n}`;
const SCRIPTS = {
  compliant: COMPLIANT,
  same: handler('webhook.payload.payload;'),
  put: handler('webhook.method = "PUT"; webhook.payload = { type: webhook.payload.eventType };'),
  path: handler('webhook.url = "/other?x=1";'),
  elsewhere: handler('webhook.url = "upstream:second/in";'),
  patch: handler('webhook.method = "PATCH";'),
  away: handler('webhook.url = "https://evil.example/";'),
  unknown: handler('webhook.url = "upstream:third/in";'),
  dots: handler('webhook.url = "/a/../admin";'),
  split: handler('webhook.url = "/a HTTP/1.1\\r\\nx: y";'),
  truthy: handler('webhook.cancel = "true";'),
  time: handler(
    'webhook.payload = { now: Date.now(), new: +new Date(), made: new Date(5).getTime(), random: typeof Math.random };',
  ),
  memory: handler('globalThis.seen = (globalThis.seen ?? 0) + 1; webhook.payload = { seen };'),
  reach: handler(
    'webhook.payload = ["process", "require", "fetch", "setTimeout", "console", "performance"].filter((name) => name in globalThis);',
  ),
};

/** Each leaves the gate serving, and its message is not delivered. */
const HOSTILE = {
  'an endless loop': 'for (;;);',
  'an endless loop that catches what ends it': 'for (;;) { try { for (;;); } catch {} }',
  'a loop of long steps': 'const s = "x".repeat(4e6); for (;;) s.indexOf("y");',
  'one step without an end': 'new Array(1e9).join("x");',
  'a memory bomb': 'const a = []; for (;;) a.push(new Array(10000).fill(1));',
  'typed arrays without an end': 'const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1));',
  'a huge text': 'let s = "x"; for (;;) s += s;',
  'a huge payload': 'webhook.payload = "x".repeat(6e6).split("");',
  'deep recursion': 'const f = () => f() + 1; f();',
  'a payload nested without an end':
    'let a = []; for (let i = 0; i < 1e6; i += 1) a = [a]; webhook.payload = a;',
  'flattening what is nested': 'let a = []; for (let i = 0; i < 1e5; i += 1) a = [a]; a.flat(Infinity).x.y;',
  'a regular expression without an end': '/^(a+)+$/.test("a".repeat(40) + "b");',
  'a throwing getter': 'return { get method() { throw new Error("no"); } };',
  'a getter without an end': 'return { get url() { for (;;); } };',
  'a proxy': 'return new Proxy({}, { get() { throw null; } });',
  'a thrown value whose message never ends': 'throw { get message() { for (;;); } };',
  'toJSON for all': 'Object.prototype.toJSON = () => { for (;;); };',
  'a circle': 'webhook.payload.self = webhook.payload;',
  'a promise': 'return Promise.resolve(webhook).then(() => webhook);',
  'a number that grows': 'let b = 3n; for (;;) b *= b;',
  nothing: 'return;',
  null: 'return null;',
  'a payload that JSON cannot say': 'webhook.payload = () => 1;',
};
const hostileNames = Object.keys(HOSTILE);

let upstream: Upstream;
let second: Upstream;
let gateway: Gateway;

const route = (name: string, more: object = {}) => ({
  name,
  path: `/${name}`,
  addresses: 'any',
  sender: 'codat',
  upstream: 'app',
  signature: { secrets: [secret] },
  transform: `transforms/${name}.js`,
  ...more,
});

beforeAll(async () => {
  [upstream, second] = await Promise.all([startUpstream(), startUpstream()]);
  const hostile = hostileNames.map((_, place) => `hostile-${place}`);
  gateway = await startGateway(
    {
      upstreams: {
        app: { targets: [upstream.url], headers: { 'x-key': 'of-the-first' } },
        second: { targets: [second.url], headers: { 'x-key': 'of-the-second' } },
      },
      routes: [
        ...Object.keys(SCRIPTS).map((name) => route(name)),
        ...hostile.map((name) => route(name)),
        route('queued', {
          deliver: 'queue',
          retry: { attempts: 2, schedule: ['1ms'] },
        }),
        route('mended', { deliver: 'queue', retry: { schedule: ['500ms'], attempts: 100 } }),
        route('tight', { transform: { file: 'transforms/room.js', timeout: '1s' } }),
        route('roomy', { transform: { file: 'transforms/room.js', timeout: '1s', memory: '64MiB' } }),
        route('plain', { transform: undefined }),
      ],
    },
    {
      files: {
        ...Object.fromEntries(Object.entries(SCRIPTS).map(([name, text]) => [`transforms/${name}.js`, text])),
        ...Object.fromEntries(
          hostileNames.map((name, place) => [
            `transforms/hostile-${place}.js`,
            handler(HOSTILE[name as keyof typeof HOSTILE]),
          ]),
        ),
        'transforms/queued.js': handler(
          'if (webhook.payload.cancel) webhook.cancel = true; if (webhook.payload.fail) throw new Error("as asked"); webhook.payload.added = 1;',
        ),
        'transforms/room.js': handler(
          'const a = []; while (a.length < 20) a.push(new Uint8Array(1e6)); webhook.payload = a.length;',
        ),
        'transforms/mended.js': handler('throw new Error("not yet");'),
      },
    },
  );
});
afterEach(() => upstream.answer());
afterAll(async () => expect(await gateway.stop()).toBe(0));

const newId = (): string => `msg_${randomUUID()}`;
const send = (path: string, body: string, id = newId()): Promise<Answer> =>
  post(gateway, { path: `/${path}`, body, sign: { secret, id } });
const event = (tags?: object): string =>
  JSON.stringify({ eventType: 'a.b', payload: { referenceCompany: { id: 'c1', ...(tags && { tags }) } } });

async function payloadOf(path: string, body = event()): Promise<unknown> {
  await expectDelivered(gateway, await send(path, body));
  return JSON.parse(upstream.requests.at(-1)?.body.toString() ?? '');
}

describe('"Canceled messages appear as successful dispatches in logs"', () => {
  test('webhooks are canceled for companies with the tag us-compliant set to true', async () => {
    const id = newId();
    const answer = await send('compliant', event({ 'us-compliant': 'true' }), id);
    expect([answer.status, answer.body.toString()]).toEqual([200, '']);
    expect(await gateway.record(answer.id)).toMatchObject({
      outcome: 'filtered',
      status: 200,
      message_id: id,
    });
    await expectDuplicate(gateway, await send('compliant', event({ 'us-compliant': 'true' }), id));
    expect(deliveriesOf(upstream, id)).toBe(0);
  });

  test.each([undefined, {}, { 'us-compliant': 'false' }])(
    'those of other companies are delivered: tags %j',
    async (tags) => {
      const id = newId();
      await expectDelivered(gateway, await send('compliant', event(tags), id));
      expect(deliveriesOf(upstream, id)).toBe(1);
    },
  );
});

describe('what a script changes', () => {
  test('is delivered as new bytes, by PUT, without the signature and with the word of the gateway', async () => {
    await expectDelivered(gateway, await send('put', event()));
    const seen = upstream.requests.at(-1);
    if (seen === undefined) throw new Error('nothing was delivered');
    expect([seen.method, seen.target, seen.body.toString()]).toEqual(['PUT', '/put', '{"type":"a.b"}']);
    expect(headerOf(seen, 'webhook-signature')).toBeUndefined();
    expect(headersOf(seen, 'content-type')).toEqual(['application/json']);
    expect(headersOf(seen, 'x-postern-transformed')).toEqual(['1']);
    expect(headerOf(seen, 'content-length')).toBe('14');
  });

  test('is nothing where it changes nothing: the bytes, their signature, numbers beyond 2^53', async () => {
    const body =
      '{ "eventType":"x", "n": 12345678901234567890.10, "s":"\\ud800", "n": 12345678901234567891, "payload":{"__proto__":{"a":1}}}';
    await expectDelivered(gateway, await send('same', body));
    const seen = upstream.requests.at(-1);
    expect(seen?.body.toString()).toBe(body);
    expect(seen && headerOf(seen, 'webhook-signature')).toMatch(/^v1,/);
    expect(seen && headerOf(seen, 'x-postern-transformed')).toBeUndefined();
  });

  test('may be the path at the upstream', async () => {
    await expectDelivered(gateway, await send('path', event()));
    expect(upstream.requests.at(-1)?.target).toBe('/other?x=1');
  });

  test('may be the upstream, which gets the fields that are its own', async () => {
    await expectDelivered(gateway, await send('elsewhere', event()));
    const seen = second.requests.at(-1);
    expect([seen?.target, seen?.body.toString()]).toEqual(['/in', event()]);
    expect(seen && headersOf(seen, 'x-key')).toEqual(['of-the-second']);
  });

  test.each(['patch', 'away', 'unknown', 'dots', 'split', 'truthy'])(
    'is refused where the contract does not allow it: %s',
    async (path) => {
      const id = newId();
      await expectRefused(gateway, upstream, () => send(path, event(), id), 503, 'transform.failed');
      expect(second.requests.length).toBeLessThanOrEqual(1);
    },
  );

  test('may hold one time only, that of receipt, and no randomness', async () => {
    const made = (await payloadOf('time')) as Record<string, unknown>;
    expect(made).toEqual({ now: made.now, new: made.now, made: 5, random: 'undefined' });
    expect(Math.abs(Date.now() - Number(made.now))).toBeLessThan(60_000);
  });

  test('is not seen by the next message, and nothing of the process is', async () => {
    expect(await payloadOf('memory')).toEqual({ seen: 1 });
    expect(await payloadOf('memory')).toEqual({ seen: 1 });
    expect(await payloadOf('reach')).toEqual([]);
  });
});

describe('a hostile script', () => {
  test.each(hostileNames.map((name, place) => [name, place] as const))(
    'is ended, and its message is not delivered: %s',
    async (_name, place) => {
      const id = newId();
      await expectRefused(
        gateway,
        upstream,
        () => send(`hostile-${place}`, event(), id),
        503,
        'transform.failed',
      );
      // The gate serves, and a script that is right works after it.
      expect(await payloadOf('put')).toEqual({ type: 'a.b' });
    },
  );

  test('has the memory that its route gives it, and no more', async () => {
    const act = () => send('tight', event());
    const { record } = await expectRefused(gateway, upstream, act, 503, 'transform.failed');
    expect(record.detail).toMatch(/^InternalError: out of memory \(.*room\.js:2:\d+\)$/);
    expect(await payloadOf('roomy')).toBe(20);
  });

  test('does not keep other routes: what needs no script is answered before it is ended', async () => {
    const ended: string[] = [];
    const slow = send('hostile-0', event()).then(() => ended.push('hostile'));
    await expectDelivered(gateway, await send('plain', event()));
    await slow;
    expect(ended).toEqual(['hostile']);
  });
});

describe('a hostile message', () => {
  test.each([
    ['nested 100,000 deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
    ['no JSON', 'eventType=a'],
    ['nothing', ''],
  ])('is refused: %s', async (_name, body) => {
    await expectRefused(gateway, upstream, () => send('put', body), 400, 'transform.malformed');
  });

  test.each(['{"__proto__":{"eventType":"x"}}', '{"eventType":1,"eventType":"last"}', '{"constructor":1}'])(
    'is no more than data: %s',
    async (body) => {
      const { eventType } = JSON.parse(body) as { eventType?: string };
      expect(await payloadOf('put', body)).toEqual(eventType === undefined ? {} : { type: eventType });
    },
  );
});

describe('on a route that queues', () => {
  const delivery = (id: string, attempt: number) =>
    gateway.line((line) => line.msg === 'delivery' && line.message_id === id && line.attempt === attempt);

  test('a message is transformed when it is delivered', async () => {
    const id = newId();
    expect((await send('queued', '{"a":1}', id)).status).toBe(202);
    await delivery(id, 1);
    const seen = upstream.requests.find((one) => headerOf(one, 'webhook-id') === id);
    expect(seen?.body.toString()).toBe('{"a":1,"added":1}');
    expect(seen && headerOf(seen, 'webhook-signature')).toBeUndefined();
  });

  test('what is cancelled counts as delivered, without an exchange', async () => {
    const id = newId();
    expect((await send('queued', '{"cancel":true}', id)).status).toBe(202);
    expect(await delivery(id, 1)).toMatchObject({
      outcome: 'delivered',
      detail: 'cancelled by its transformation',
    });
    expect(deliveriesOf(upstream, id)).toBe(0);
  });

  test('what fails is tried again, and is a dead letter at last', async () => {
    const id = newId();
    expect((await send('queued', '{"fail":true}', id)).status).toBe(202);
    expect(await delivery(id, 1)).toMatchObject({ outcome: 'waiting', reason: 'transform.failed' });
    expect(await delivery(id, 2)).toMatchObject({ outcome: 'dead', reason: 'transform.failed' });
    expect(deliveriesOf(upstream, id)).toBe(0);
  });

  test('a mended script is used by the next attempt, and one that cannot be used leaves the old one', async () => {
    const id = newId();
    expect((await send('mended', '{"a":1}', id)).status).toBe(202);
    await delivery(id, 1);
    const problems = await untilRefused(gateway, () =>
      replaceFile(gateway, 'transforms/mended.js', 'function handler(webhook) {\n  return webhook }}'),
    );
    expect(problems).toEqual([expect.stringMatching(/transforms\/mended\.js:2:19 .*SyntaxError/)]);
    await untilReloaded(gateway, () => replaceFile(gateway, 'transforms/mended.js', handler('')));
    const seen = await upstream.request((one) => headerOf(one, 'webhook-id') === id);
    expect(seen.body.toString()).toBe('{"a":1}');
  });
});
