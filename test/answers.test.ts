import { STATUS_CODES } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadSender } from '../src/config/senders.ts';
import { REASONS, type Reason } from '../src/reasons.ts';
import { responderFor } from '../src/respond.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { type Connection, connect, post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

// Codat's "Webhook alerts", "Expected response codes": any other status outside 2xx loses the alert for good.
const ALERTS_RETRY = [408, 420, 429, 460, 502, 503, 504, 522, 524];
const STATUSES = Array.from({ length: 400 }, (_, place) => 200 + place);
const HINT = '120';

type Fate = 'accepted' | 'retried' | 'followed elsewhere' | 'lost';

/** What Codat does with an alert after this status, by its documentation. */
function alertFate(status: number): Fate {
  if (status >= 200 && status < 300) return 'accepted';
  if (status >= 300 && status < 400) return 'followed elsewhere';
  return ALERTS_RETRY.includes(status) ? 'retried' : 'lost';
}

/** What Codat's dispatcher does with an event: every status outside 2xx is a failed attempt, tried again. */
function eventFate(status: number): Fate {
  return status >= 200 && status < 300 ? 'accepted' : 'retried';
}

/** What should become of an alert when the internal service answers so: lost only where no retry can help. */
function rightAlertFate(upstreamStatus: number): Fate {
  if (upstreamStatus < 300) return 'accepted';
  return [400, 409, 410, 413, 415, 422].includes(upstreamStatus) ? 'lost' : 'retried';
}

describe('every status of an internal service', () => {
  const bearer = 'a-bearer-of-the-answers-test';
  const secret = newSecret();
  let upstream: Upstream;
  let gateway: Gateway;
  let connection: Connection;

  beforeAll(async () => {
    upstream = await startUpstream({
      answer: (request, response) => {
        const status = Number(request.target.split('/').at(-1));
        response.writeHead(status, {
          'retry-after': HINT,
          location: 'http://internal.example/',
          'webhook-delivery': 'disable',
        });
        response.end(status === 204 || status === 304 ? undefined : 'internal detail');
      },
    });
    const route = { addresses: 'any', upstream: 'app' };
    gateway = await startGateway({
      tls: { ...baseTls(), client_certificate: 'optional' },
      upstreams: { app: upstream.url },
      routes: [
        { ...route, name: 'events', path: '/events/*', sender: 'codat', signature: { secrets: [secret] } },
        {
          ...route,
          name: 'alerts',
          path: '/alerts/*',
          sender: 'codat-alerts',
          certificate: 'none',
          authorization: [{ bearer }],
        },
        { ...route, name: 'plain', path: '/plain/*' },
      ],
    });
    connection = await connect(gateway);
  });
  afterAll(() => connection.close());

  const event = (status: number) =>
    post(gateway, { on: connection, path: `/events/${status}`, body: '{"eventType":"a"}', sign: { secret } });
  const alert = (status: number) =>
    post(gateway, {
      on: connection,
      path: `/alerts/${status}`,
      body: '{}',
      headers: [['Authorization', `Bearer ${bearer}`]],
    });

  test('an alert is lost only where a retry cannot help, and never sent elsewhere', async () => {
    const fates: Record<number, Fate> = {};
    for (const status of STATUSES) fates[status] = alertFate((await alert(status)).status);
    expect(fates).toEqual(Object.fromEntries(STATUSES.map((status) => [status, rightAlertFate(status)])));
  });

  test('an event is accepted where the service accepted it, and otherwise retried', async () => {
    const fates: Record<number, Fate> = {};
    for (const status of STATUSES) fates[status] = eventFate((await event(status)).status);
    expect(fates).toEqual(Object.fromEntries(STATUSES.map((status) => [status, eventFate(status)])));
  });

  test.each([
    ['a redirect', 302, 502, 'upstream.redirect', 502, 'upstream.redirect'],
    ['its own 400', 400, 400, 'upstream.refused', 400, 'upstream.refused'],
    ['a rotated internal key', 401, 401, 'upstream.refused', 503, 'upstream.failed'],
    ['a deploy', 404, 404, 'upstream.refused', 503, 'upstream.failed'],
    ['425', 425, 425, 'upstream.refused', 503, 'upstream.failed'],
    ['429', 429, 429, 'upstream.refused', 429, 'upstream.refused'],
    ['500', 500, 500, 'upstream.failed', 503, 'upstream.failed'],
    ['503', 503, 503, 'upstream.failed', 503, 'upstream.failed'],
  ])('%s (%i)', async (_, status, eventStatus, eventReason, alertStatus, alertReason) => {
    for (const [answer, expected, reason] of [
      [await event(status), eventStatus, eventReason],
      [await alert(status), alertStatus, alertReason],
    ] as const) {
      expect(answer.status).toBe(expected);
      expect(answer.problem()).toEqual({ title: expect.any(String), status: expected });
      expect([
        answer.header('retry-after'),
        answer.header('location'),
        answer.header('webhook-delivery'),
      ]).toEqual([HINT, undefined, undefined]);
      const record = await gateway.record(answer.id);
      expect([record.reason, record.outcome, record.upstream_status]).toEqual([reason, 'failed', status]);
    }
  });

  test('without a sender the answer passes as it is', async () => {
    for (const status of [200, 204, 301, 302, 304, 400, 401, 404, 410, 418, 500, 503, 599]) {
      const answer = await post(gateway, { on: connection, path: `/plain/${status}`, body: '' });
      expect([answer.status, answer.header('location'), answer.header('retry-after')]).toEqual([
        status,
        'http://internal.example/',
        HINT,
      ]);
      expect(answer.body.toString()).toBe(status === 204 || status === 304 ? '' : 'internal detail');
    }
  });
});

describe('every reason of our own', () => {
  const folder = 'config';
  const finals = (Object.keys(REASONS) as Reason[]).filter((reason) => REASONS[reason].status !== 0);

  test.each(finals)('%s is retried by the alerts sender exactly if a retry helps', (reason) => {
    const reply = responderFor(loadSender('codat-alerts', folder), false).refuse({ reason }, 'id');
    expect(alertFate(reply.status)).toBe(REASONS[reason].retryHelps ? 'retried' : 'lost');
  });

  test.each(finals)('%s is a failed attempt for the events sender, under its natural status', (reason) => {
    const reply = responderFor(loadSender('codat', folder), false).refuse({ reason }, 'id');
    expect([reply.status, eventFate(reply.status)]).toEqual([REASONS[reason].status, 'retried']);
  });

  test.each(finals)('%s says no more than a status title and a request id', (reason) => {
    const detail = 'what only the log may say';
    const reply = responderFor(undefined, false).refuse({ reason, detail }, 'the-id');
    const title = STATUS_CODES[reply.status];
    expect(JSON.parse(String(reply.body))).toEqual({ title, status: reply.status });
    expect(reply.headers.join('\n')).not.toContain(detail);
    expect(reply.headers).toContain('the-id');
  });

  test.each([
    'claim.in_flight',
    'gateway.overloaded',
    'gateway.draining',
    'gateway.error',
    'state.unavailable',
  ] as const)('%s says when to come back', (reason) => {
    const { headers } = responderFor(undefined, false).refuse({ reason }, 'id');
    expect(Number(headers[headers.indexOf('retry-after') + 1])).toBeGreaterThan(0);
  });

  test('a body that never came whole has no answer', () => {
    const status = (sender: string) =>
      responderFor(loadSender(sender, folder), false).refuse({ reason: 'body.incomplete' }, 'id').status;
    expect([status('codat'), status('codat-alerts')]).toEqual([0, 0]);
  });

  test('410 becomes 404 for a sender that would switch the endpoint off', () => {
    const answer = { status: 410, headers: [], body: undefined };
    const status = (sender: string) =>
      responderFor(loadSender(sender, folder), false).pass(answer, 'POST', 'id').reply.status;
    expect([status('standard-webhooks'), status('codat'), status('codat-alerts')]).toEqual([404, 410, 410]);
  });

  test.each([
    ['120', '120'],
    ['Wed, 21 Oct 2015 07:28:00 GMT', 'Wed, 21 Oct 2015 07:28:00 GMT'],
    ['-1', undefined],
    ['soon', undefined],
    ['1.5', undefined],
  ])('Retry-After %j of a service is passed on as %j', (given, passed) => {
    const answer = { status: 503, headers: ['retry-after', given], body: undefined };
    const { reply } = responderFor(loadSender('codat', folder), false).pass(answer, 'POST', 'id');
    expect(reply.headers.includes('retry-after') ? given : undefined).toBe(passed);
  });

  test.each([
    [false, undefined],
    [true, 'disable'],
  ])('webhook-delivery with webhook_delivery pass: %s', (allowed, passed) => {
    const answer = { status: 500, headers: ['webhook-delivery', 'disable'], body: undefined };
    const { headers } = responderFor(loadSender('codat', folder), allowed).pass(answer, 'POST', 'id').reply;
    expect(headers[headers.indexOf('webhook-delivery') + 1] === 'disable' ? 'disable' : undefined).toBe(
      passed,
    );
  });

  test.each([100, 199, 600, 999])('an impossible status %i is the upstream’s fault', (status) => {
    const { reply, reason } = responderFor(undefined, false).pass(
      { status, headers: [], body: undefined },
      'POST',
      'id',
    );
    expect([reply.status, reason]).toEqual([502, 'upstream.invalid']);
  });
});
