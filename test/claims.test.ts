import { randomUUID } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  expectDelivered,
  expectDeliveredAgain,
  expectDuplicate,
  expectProblem,
  expectRefused,
} from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { deliveriesOf } from './support/hold.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, post, signatureHeaders } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const secret = newSecret();
const body = '{"eventType":"claim.test","payload":{"n":1}}';

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const signature = { scheme: 'standard-webhooks', secrets: [secret] };
  const common = { addresses: 'any', signature };
  gateway = await startGateway({
    upstreams: {
      app: upstream.url,
    },
    routes: [
      { name: 'a', path: '/a', upstream: 'app', ...common },
      { name: 'b', path: '/b', upstream: 'app', ...common },
      { name: 'codat', path: '/codat', upstream: 'app', sender: 'codat', ...common },
      { name: 'brief', path: '/brief', upstream: 'app', remember: '1s', ...common },
      { name: 'unsigned', path: '/unsigned', upstream: 'app', addresses: 'any' },
    ],
  });
});
afterEach(() => upstream.answer());

const newId = (): string => `msg_${randomUUID()}`;
const send = (path: string, id: string, headers: [string, string][] = []): Promise<Answer> =>
  post(gateway, { path, body, headers, sign: { secret, id } });
describe('a copy of an event that was delivered', () => {
  test('is acknowledged with 200 and no body, and not delivered again', async () => {
    const id = newId();
    upstream.answer((_request, response) => response.writeHead(201).end('created'));
    const first = await send('/a', id);
    await expectDelivered(gateway, first, 201);
    expect(first.body.toString()).toBe('created');
    await expectDuplicate(gateway, await send('/a', id));
    await expectDuplicate(gateway, await send('/a', id));
    expect(deliveriesOf(upstream, id)).toBe(1);
  });

  test('is delivered on another route, and for another client', async () => {
    const id = newId();
    await expectDelivered(gateway, await send('/a', id));
    await expectDelivered(gateway, await send('/b', id));
    await expectDelivered(gateway, await send('/codat', id, [['x-codat-clientid', 'one']]));
    await expectDelivered(gateway, await send('/codat', id, [['x-codat-clientid', 'two']]));
    await expectDelivered(gateway, await send('/codat', id));
    await expectDuplicate(gateway, await send('/codat', id, [['X-Codat-ClientId', 'one']]));
    expect(deliveriesOf(upstream, id)).toBe(5);
  });

  test('is delivered again once `remember` has passed', async () => {
    const id = newId();
    await expectDelivered(gateway, await send('/brief', id));
    await expectDuplicate(gateway, await send('/brief', id));
    await expectDeliveredAgain(gateway, () => send('/brief', id));
    expect(deliveriesOf(upstream, id)).toBe(2);
  });

  test('is nothing to a route without a signature', async () => {
    const id = newId();
    await expectDelivered(gateway, await send('/unsigned', id));
    await expectDelivered(gateway, await send('/unsigned', id));
    expect(deliveriesOf(upstream, id)).toBe(2);
  });

  test('cannot be claimed beforehand by someone who cannot sign', async () => {
    const id = newId();
    const forged = () =>
      post(gateway, { path: '/a', body, headers: signatureHeaders(`${body} `, { secret, id }) });
    await expectRefused(gateway, upstream, forged, 401, 'signature.mismatch');
    await expectDelivered(gateway, await send('/a', id));
    expect(deliveriesOf(upstream, id)).toBe(1);
  });
});

describe('a failed delivery releases the claim', () => {
  test.each([500, 503, 404, 302, 400])('upstream status %i', async (status) => {
    const id = newId();
    upstream.answer((_request, response) => response.writeHead(status, { location: '/x' }).end());
    const answer = await send('/a', id);
    expect(answer.status).toBe(status);
    upstream.answer();
    await expectDelivered(gateway, await send('/a', id));
    expect(deliveriesOf(upstream, id)).toBe(2);
  });

  test('a broken connection', async () => {
    const id = newId();
    upstream.answer((_request, response) => response.destroy());
    await expectProblem(gateway, await send('/a', id), 502, 'upstream.reset');
    expect(deliveriesOf(upstream, id)).toBe(1);
    upstream.answer();
    await expectDelivered(gateway, await send('/a', id));
    expect(deliveriesOf(upstream, id)).toBe(2);
  });
});
