import type { Agent } from 'node:https';
import type { SenderProfile } from '../../sender-profile.ts';
import { findSample } from '../sample-events.ts';
import { makeMessageId, type OutgoingEvent, type SendOptions } from '../send/event.ts';
import { makeSigner } from '../send/sign.ts';
import { FAILING_PATH } from './service.ts';
import type { World } from './world.ts';

/** One event of the demo, and what is to come of it. */
export interface Case {
  /** In words, for the table. */
  readonly sent: string;
  readonly event: OutgoingEvent;
  readonly options: SendOptions;
  readonly expected: Expected;
}

/** What is to come of an event. */
export interface Expected {
  readonly status: number;
  /** Whether the answer must say when to come again. */
  readonly retryAfter: boolean;
  /** The reason that the gateway logs, or its outcome where there is none. */
  readonly record: string;
  /** The path that reached the service; `undefined`: nothing did. */
  readonly service: string | undefined;
}

/** The senders of the demo and where they send to. */
export interface Stage {
  readonly world: World;
  readonly origin: string;
  readonly events: SenderProfile;
  readonly alerts: SenderProfile;
  /** Their connections: with the trusted certificate, with another CA's, with none. */
  readonly agents: Readonly<Record<'trusted' | 'stranger' | 'anonymous', Agent>>;
}

/** Every case, in the order in which they are sent. */
export function makeCases(stage: Stage): Case[] {
  const { world } = stage;
  const { trusted: agent, stranger, anonymous } = stage.agents;
  const sign = makeSigner(world.signingSecret);
  const bearer = { authorization: `Bearer ${world.bearer}` };
  const basic = (password: string) => ({ authorization: `Basic ${btoa(`codat:${password}`)}` });

  const event = (
    sent: string,
    type: string,
    path: string,
    expected: Expected,
    other: Partial<SendOptions> = {},
  ): Case => {
    const own = { method: 'POST', profile: stage.events, agent, headers: bearer, signer: sign };
    return { sent, event: makeEvent(type), options: { ...common(stage, path), ...own, ...other }, expected };
  };
  const alert = (sent: string, path: string, expected: Expected, headers: Record<string, string>): Case => {
    const own = { method: 'POST', profile: stage.alerts, agent: anonymous, headers, signer: undefined };
    return { sent, event: makeEvent('rule.alert'), options: { ...common(stage, path), ...own }, expected };
  };
  const refused = (
    sent: string,
    expected: Expected,
    other: Partial<SendOptions> = {},
    path = '/codat/events',
  ): Case => event(sent, 'invoices.write.successful', path, expected, other);

  const first = event(
    'company.created, signed, over mTLS',
    'company.created',
    '/codat/events',
    delivered('/events'),
  );
  const large = refused('an event of 20 KiB where 16 are allowed', no(413, 'body.too_large'));
  return [
    first,
    event('read.completed.initial', 'read.completed.initial', '/codat/events', delivered('/events')),
    event(
      'invoices.write.unsuccessful',
      'invoices.write.unsuccessful',
      '/codat/events',
      delivered('/events'),
    ),
    event('client.rateLimit.reached', 'client.rateLimit.reached', '/codat/events', delivered('/events')),
    event(
      'bills.write.successful, as a PUT',
      'bills.write.successful',
      '/codat/events',
      delivered('/events'),
      { method: 'PUT' },
    ),
    {
      ...first,
      sent: 'company.created a second time',
      expected: { ...delivered(undefined), record: 'duplicate' },
    },
    alert(
      'a rule alert with Basic, no certificate',
      '/codat/alerts',
      delivered('/alerts'),
      basic(world.alertPassword),
    ),
    alert('a rule alert with Bearer', '/codat/alerts', delivered('/alerts'), bearer),

    refused('an event whose body was changed', no(401, 'signature.mismatch'), {
      signer: (id, at) => sign(id, at, Buffer.from('{"another":"body"}')),
    }),
    refused('an event signed with another secret', no(401, 'signature.mismatch'), {
      signer: makeSigner(`whsec_${btoa('a secret that the gateway does not have')}`),
    }),
    refused('an event signed ten minutes ago', no(401, 'signature.stale'), {
      clock: () => new Date(Date.now() - 10 * 60_000),
    }),
    refused('an event without a signature', no(401, 'signature.missing'), { signer: undefined }),
    refused('a wrong bearer token', no(401, 'authorization.wrong'), {
      headers: { authorization: 'Bearer wrong' },
    }),
    refused('no bearer token', no(401, 'authorization.missing'), { headers: {} }),
    alert(
      'a rule alert with a wrong password',
      '/codat/alerts',
      no(401, 'authorization.wrong'),
      basic('wrong'),
    ),
    refused('no client certificate', no(403, 'certificate.missing'), { agent: anonymous }),
    refused("another CA's certificate of the same name", no(403, 'certificate.untrusted'), {
      agent: stranger,
    }),
    refused('an address that is not on the list', no(403, 'address.not_allowed'), {}, '/codat/elsewhere'),
    refused('a path that no route has', no(404, 'route.not_found'), {}, '/codat/nothing'),
    refused('a path that can be read in two ways', no(400, 'target.ambiguous'), {}, '//codat/events'),
    refused('a DELETE', no(405, 'route.method_not_allowed'), { method: 'DELETE' }),
    {
      ...large,
      event: { ...large.event, body: Buffer.from(JSON.stringify({ filler: 'x'.repeat(20 * 1024) })) },
    },
    refused('an event, one a minute being allowed', delivered('/events'), {}, '/codat/limited'),
    refused('the next one within that minute', soon(429, 'rate.exceeded'), {}, '/codat/limited'),

    refused(
      'an event while the service answers 500',
      failed(500, 'upstream.failed', 'events'),
      {},
      '/codat/events-failing',
    ),
    // Codat's alerts are lost for good after a 500, but come again after a 503.
    alert(
      'a rule alert while it answers 500',
      '/codat/alerts-failing',
      failed(503, 'upstream.failed', 'alerts'),
      bearer,
    ),
    refused('an event while the service is down', no(502, 'upstream.unreachable'), {}, '/codat/events-down'),
  ];
}

function common(stage: Stage, path: string): Pick<SendOptions, 'url' | 'deadlineMs' | 'fasterBy'> {
  return { url: new URL(stage.origin + path), deadlineMs: 15_000, fasterBy: 1 };
}

function makeEvent(type: string): OutgoingEvent {
  return { id: makeMessageId(), type, body: Buffer.from(JSON.stringify(findSample(type)?.make() ?? {})) };
}

function delivered(service: string | undefined): Expected {
  return { status: 200, retryAfter: false, record: 'delivered', service };
}

function no(status: number, record: string): Expected {
  return { status, retryAfter: false, record, service: undefined };
}

function soon(status: number, record: string): Expected {
  return { status, retryAfter: true, record, service: undefined };
}

function failed(status: number, record: string, path: string): Expected {
  return { status, retryAfter: false, record, service: `${FAILING_PATH}/${path}` };
}
