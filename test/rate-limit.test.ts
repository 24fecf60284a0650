import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { defaults } from './support/ca.ts';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { post, type RequestOptions } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const bearer = randomBytes(24).toString('base64url');
const secret = newSecret();
let upstream: Upstream;
let gateway: Gateway;

// Rates by the hour: nothing refills while a test runs.
beforeAll(async () => {
  upstream = await startUpstream();
  const route = (name: string, rate_limit: unknown, more: Record<string, unknown> = {}) => ({
    name,
    path: `/${name}`,
    addresses: 'any',
    upstream: 'app',
    rate_limit,
    ...more,
  });
  const authorization = [{ bearer }];
  gateway = await startGateway({
    tls: { ...baseTls(), client_certificate: 'optional' },
    upstreams: { app: upstream.url },
    routes: [
      route('default', { rate: '2/1h', by: 'route' }),
      route('burst', { rate: '1/1h', burst: 3, by: 'route' }),
      route('refill', { rate: '1/1s', by: 'route' }),
      route('address', { rate: '1/1h', by: 'address' }),
      route('certificate', { rate: '1/1h', by: 'certificate' }),
      route('header', { rate: '1/1h', by: 'header:X-Codat-ClientId' }),
      route('list', [
        { rate: '3/1h', by: 'route' },
        { rate: '1/1h', by: 'header:x-codat-clientid' },
      ]),
      route('guess-by-address', { rate: '2/1h', by: 'address' }, { authorization }),
      route('guess-by-route', { rate: '1/1h', by: 'route' }, { authorization }),
      route(
        'guess-certificate',
        { rate: '1/1h', by: 'certificate' },
        { certificate: { names: ['CN:sender'] } },
      ),
      route(
        'signed',
        { rate: '1/1h', by: 'route' },
        { certificate: 'none', signature: { scheme: 'standard-webhooks', secrets: [secret] } },
      ),
      route('neighbour', { rate: '1/1h', by: 'route' }),
    ],
  });
});

const send = (path: string, options: Parameters<typeof post>[1] = {}) => post(gateway, { path, ...options });
const passes = async (path: string, options = {}) => expectDelivered(gateway, await send(path, options));

/** Refused, with a Retry-After of so many seconds, less what has passed since the test began. */
async function refused(path: string, retryAfterS: number, options: RequestOptions = {}): Promise<void> {
  const { answer } = await expectRefused(gateway, upstream, () => send(path, options), 429, 'rate.exceeded');
  expect(answer.header('retry-after')).toMatch(/^[1-9]\d*$/);
  const seconds = Number(answer.header('retry-after'));
  expect(seconds).toBeLessThanOrEqual(retryAfterS);
  expect(seconds).toBeGreaterThan(retryAfterS - 20);
}

const client = (id: string): RequestOptions => ({ headers: [['x-codat-clientid', id]] });

test('N of N/duration pass at one instant, and the next may come when one has drained', async () => {
  await passes('/default');
  await passes('/default');
  await refused('/default', 1800);
  await refused('/default', 1800);
});

test('burst says how many pass at one instant', async () => {
  for (let count = 0; count < 3; count++) await passes('/burst');
  await refused('/burst', 3600);
});

test('Retry-After is rounded up, and the sender that waits so long gets in', async () => {
  await passes('/refill');
  const { answer } = await expectRefused(gateway, upstream, () => send('/refill'), 429, 'rate.exceeded');
  expect(answer.header('retry-after')).toBe('1');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await passes('/refill');
});

describe('by', () => {
  test('address: each has its own', async () => {
    await passes('/address', { from: '127.0.0.1' });
    await passes('/address', { from: '127.0.0.2' });
    await refused('/address', 3600, { from: '127.0.0.1' } as RequestOptions);
    await refused('/address', 3600, { from: '127.0.0.2' } as RequestOptions);
  });

  test('certificate: each has its own', async () => {
    const other = await (await defaults()).authority.issue({ commonName: 'other' });
    await passes('/certificate');
    await passes('/certificate', { identity: other });
    await refused('/certificate', 3600);
    await refused('/certificate', 3600, { identity: other } as RequestOptions);
  });

  test('header: each value has its own, and those without the header share one', async () => {
    await passes('/header', client('a'));
    await passes('/header', client('b'));
    await passes('/header');
    await refused('/header', 3600, client('a'));
    await refused('/header', 3600, client('b'));
    await refused('/header', 3600);
  });

  test('route: all share it, and another route has its own', async () => {
    await refused('/default', 1800, { from: '127.0.0.9' } as RequestOptions);
    await passes('/neighbour');
  });
});

test('of a list every limit must pass', async () => {
  await passes('/list', client('a'));
  await refused('/list', 3600, client('a'));
  await passes('/list', client('b'));
});

describe('order', () => {
  const wrong: RequestOptions = { headers: [['authorization', 'Bearer guessed-it']] };
  const right: RequestOptions = { headers: [['authorization', `Bearer ${bearer}`]] };

  test('the limit by address comes before authorization: guessing is bounded', async () => {
    const guess = () => send('/guess-by-address', wrong);
    await expectRefused(gateway, upstream, guess, 401, 'authorization.wrong');
    await expectRefused(gateway, upstream, guess, 401, 'authorization.wrong');
    await refused('/guess-by-address', 1800, wrong);
    await refused('/guess-by-address', 1800, right);
  });

  test('the other limits come after authorization: a stranger cannot use them up', async () => {
    const guess = () => send('/guess-by-route', wrong);
    for (let count = 0; count < 3; count++)
      await expectRefused(gateway, upstream, guess, 401, 'authorization.wrong');
    await passes('/guess-by-route', right);
    await refused('/guess-by-route', 3600, right);
  });

  test('and after the certificate', async () => {
    const other = await (await defaults()).authority.issue({ commonName: 'other' });
    const strange = () => send('/guess-certificate', { identity: other });
    await expectRefused(gateway, upstream, strange, 403, 'certificate.not_allowed');
    await expectRefused(gateway, upstream, strange, 403, 'certificate.not_allowed');
    await passes('/guess-certificate');
  });

  test('and after the signature where that is the only identity', async () => {
    const body = '{"eventType":"rate.limited","at":1}';
    const unsigned = () => send('/signed', { identity: 'none', body });
    for (let count = 0; count < 3; count++)
      await expectRefused(gateway, upstream, unsigned, 401, 'signature.missing');
    await passes('/signed', { identity: 'none', body, sign: { secret } });
    await refused('/signed', 3600, { identity: 'none', body, sign: { secret } } as RequestOptions);
  });
});
