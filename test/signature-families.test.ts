import { beforeAll, expect, test } from 'vitest';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { post, signatureHeaders } from './support/sender.ts';
import { headerOf, headersOf, startUpstream, type Upstream } from './support/upstream.ts';

type Headers = [string, string][];

const secret = newSecret();
const body = '{"eventType":"signature.test","payload":{"sum":1.10}}';
let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    routes: ['svix', 'codat'].map((sender) => ({
      name: sender,
      path: `/${sender}`,
      addresses: 'any',
      sender,
      signature: { secrets: [secret] },
      upstream: 'app',
    })),
  });
});

const send = (path: string, headers: Headers) => post(gateway, { path, headers, body });
const passes = async (path: string, headers: Headers) => expectDelivered(gateway, await send(path, headers));
const refused = (path: string, headers: Headers, reason: string) =>
  expectRefused(gateway, upstream, () => send(path, headers), 401, reason);
const signed = (family: 'webhook' | 'svix' = 'webhook'): Headers =>
  signatureHeaders(body, { secret, family });
const replaced = (headers: Headers, name: string, value: string): Headers =>
  headers.map(([own, old]) => [own, own === name ? value : old]);
const both = (headers: Headers, more: Headers): Headers => [...headers, ...more];
const as = (family: string, headers: Headers): Headers =>
  headers.map(([name, value]) => [name.replace('webhook', family), value]);

test('a sender’s own family is the one that counts', async () => {
  await passes('/svix', signed('svix'));
  await passes('/codat', signed());
});

test('both may be present when they are identical, and one of them reaches the upstream', async () => {
  const headers = signed();
  const record = await passes('/codat', both(headers, as('svix', headers)));
  const seen = await upstream.request((one) => headerOf(one, 'x-request-id') === record.id);
  const names = [
    'webhook-id',
    'svix-id',
    'webhook-signature',
    'svix-signature',
    'webhook-timestamp',
    'svix-timestamp',
  ];
  expect(names.filter((name) => headersOf(seen, name).length > 0)).toEqual([
    'webhook-id',
    'webhook-signature',
    'webhook-timestamp',
  ]);
});

test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])(
  'a second family that differs in %s, or lacks it, is malformed',
  async (name) => {
    const headers = signed();
    const second = as('svix', headers);
    const own = name.replace('webhook', 'svix');
    await refused('/codat', both(headers, replaced(second, own, 'x1')), 'signature.malformed');
    await refused(
      '/codat',
      both(
        headers,
        second.filter(([other]) => other !== own),
      ),
      'signature.malformed',
    );
  },
);

test('a forged webhook-id does not ride beside valid svix headers', async () => {
  const valid = signed('svix');
  await refused('/svix', both(valid, [['webhook-id', 'msg_forged']]), 'signature.malformed');
});
