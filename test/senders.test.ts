import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectRefused } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { post } from './support/sender.ts';
import { type Headers, SENDERS, type SigningSender, twilioHeaders } from './support/signing-senders.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
let gateway: Gateway;

const routeOf = ({ name, keys, isPublic }: SigningSender, more: object = {}, at = name) => ({
  name: at,
  path: `/${at}`,
  sender: name,
  addresses: 'any',
  certificate: 'none',
  signature: { [isPublic ? 'public_keys' : 'secrets']: keys, ...more },
  upstream: 'app',
});
const senderOf = (name: string): SigningSender => {
  const found = SENDERS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no sender ${name}`);
  return found;
};

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams: { app: upstream.url },
    routes: [
      ...SENDERS.map((sender) => routeOf(sender)),
      routeOf(senderOf('twilio'), { id: 'content' }, 'twilio-messages'),
      { ...routeOf(senderOf('gitlab'), {}, 'gitlab-whole'), pass_credentials: true },
    ],
  });
});

const nowS = (): number => Math.floor(Date.now() / 1000);
const send = (path: string, headers: Headers, body: string) =>
  post(gateway, { identity: 'none', path: `/${path}`, headers, body });

describe.each(SENDERS)('$name', (sender) => {
  const { name, header, toleranceS, malformed, unsigned } = sender;
  const event = (atS = nowS(), by: 0 | 1 | 2 = 0) => {
    const body = sender.body(atS);
    return { body, headers: sender.headers(body, atS, by) };
  };
  const refused = (headers: Headers, body: string, reason: string) =>
    expectRefused(gateway, upstream, () => send(name, headers, body), 401, `signature.${reason}`);
  const replaced = (headers: Headers, value: string): Headers =>
    headers.map(([own, old]) => [own, own === header ? value : old]);

  test('is delivered by either of its keys, as it was sent; the record says which', async () => {
    for (const place of [0, 1] as const) {
      const { body, headers } = event(nowS(), place);
      const record = await expectDelivered(gateway, await send(name, headers, body));
      expect([record.secret, record.sender]).toEqual([place, name]);
      const seen = await upstream.request((one) => headerOf(one, 'x-request-id') === record.id);
      expect(seen.body.toString()).toBe(body);
    }
  });

  test('is refused by another key', async () => {
    const { body, headers } = event(nowS(), 2);
    await refused(headers, body, 'mismatch');
  });

  test('is refused without its header, and with two of it', async () => {
    const { body, headers } = event();
    await refused(
      headers.filter(([own]) => own !== header),
      body,
      'missing',
    );
    await refused([...headers, ...headers.filter(([own]) => own === header)], body, 'repeated');
    // A second one that says something else, ahead of the first.
    await refused([[header, 'else'], ...headers], body, 'repeated');
  });

  test.runIf(malformed !== undefined)('is refused with something that is no signature', async () => {
    const { body, headers } = event();
    await refused(replaced(headers, malformed as string), body, 'malformed');
  });

  test.runIf(name !== 'gitlab')(
    'is refused with another body, and with the signature of another event',
    async () => {
      const [one, two] = [event(), event()];
      await refused(one.headers, two.body, 'mismatch');
      await refused(
        one.headers,
        one.body
          .replace(/[a-f0-9]{4}-/, 'ffff-')
          .replace('a.b', 'a.c')
          .replace('1800', '1801'),
        'mismatch',
      );
      await expectDelivered(gateway, await send(name, one.headers, one.body));
    },
  );

  test.runIf(toleranceS !== undefined)('is refused out of its time', async () => {
    const margin = (toleranceS as number) + 30;
    for (const [at, reason] of [
      [nowS() - margin, 'stale'],
      [nowS() + margin, 'early'],
    ] as const) {
      const { body, headers } = event(at);
      await refused(headers, body, reason);
    }
  });

  test.runIf(name !== 'twilio')('is acknowledged and not delivered again when it is replayed', async () => {
    const { body, headers } = event();
    const id = (value: string): Headers => (unsigned === undefined ? [] : [[unsigned, value]]);
    await expectDelivered(gateway, await send(name, [...headers, ...id('one')], body));
    const before = upstream.heads();
    // With a new name for the delivery, which nothing protects.
    await expectDuplicate(gateway, await send(name, [...headers, ...id('two')], body));
    expect(upstream.heads()).toBe(before);
  });
});

test('a retry that is signed anew, at a later time and by another secret, is a duplicate', async () => {
  for (const name of ['stripe', 'slack']) {
    const sender = senderOf(name);
    const body = sender.body(0);
    await expectDelivered(gateway, await send(name, sender.headers(body, nowS() - 60, 0), body));
    await expectDuplicate(gateway, await send(name, sender.headers(body, nowS(), 1), body));
  }
});

test("twilio's copies are delivered, since nothing tells them from new events; a route may ask for the digest", async () => {
  const twilio = senderOf('twilio');
  const body = twilio.body(0);
  const headers = twilio.headers(body, 0, 0);
  await expectDelivered(gateway, await send('twilio', headers, body));
  await expectDelivered(gateway, await send('twilio', headers, body));
  const here = twilioHeaders(body, '/twilio-messages', 1);
  await expectDelivered(gateway, await send('twilio-messages', here, body));
  await expectDuplicate(gateway, await send('twilio-messages', here, body));
  // Signed for another URL.
  await expectRefused(
    gateway,
    upstream,
    () => send('twilio-messages', headers, body),
    401,
    'signature.mismatch',
  );
});

test("gitlab's token is for the gateway alone, unless the route passes credentials on", async () => {
  const gitlab = senderOf('gitlab');
  for (const path of ['gitlab', 'gitlab-whole']) {
    const body = gitlab.body(0);
    const headers = gitlab.headers(body, 0, 0);
    const { id } = await expectDelivered(gateway, await send(path, headers, body));
    const seen = await upstream.request((one) => headerOf(one, 'x-request-id') === id);
    expect(headerOf(seen, 'x-gitlab-token')).toBe(path === 'gitlab' ? undefined : gitlab.keys[0]);
  }
});
