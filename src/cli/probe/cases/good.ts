import { isDispatchedBySvix } from '../../send/rules.ts';
import { type Case, goodShot, lacksSecret, shotOf } from '../case.ts';
import { documentationOf } from '../documents.ts';
import { ACCEPTED, ANSWERED, BETTER_REFUSED, type Expectation } from '../expect.ts';
import type { Field } from '../message.ts';
import { familyOf, makeEvent, type Stage, secondsFromNow, signatureFields } from '../stage.ts';

const COPIES: Expectation = {
  words: 'one 2xx; the other 2xx, or tried again',
  right: ['2xx'],
  doubtful: [],
};

/** What the sender does every day, and must be accepted. */
export function goodCases(stage: Stage): Case[] {
  const { profile, keys } = stage;
  const [key] = keys;
  const signed = lacksSecret(stage);
  const isSvix = isDispatchedBySvix(profile);
  const rotated = (
    name: string,
    sent: string,
    why: string,
    make: (id: string, at: string, body: Buffer) => string,
  ) => ({
    ...{ name, sent, why, expected: ACCEPTED, source: 'Standard Webhooks, "Webhook headers"', lacks: signed },
    make: () => {
      const event = makeEvent(stage, name);
      return [shotOf(stage, event, {}, make(event.id, event.timestamp, event.body))];
    },
  });
  const strange = (id: string, at: string, body: Buffer): string => key?.stranger().sign(id, at, body) ?? '';
  const right = (id: string, at: string, body: Buffer): string => key?.sign(id, at, body) ?? '';

  return [
    {
      name: 'good',
      sent: 'a good event',
      expected: ACCEPTED,
      why: 'What is signed, fresh and by the right sender is answered with a 2xx in time, or it comes again.',
      source: documentationOf(profile),
      make: () => [goodShot(stage, 'good')],
    },
    {
      name: 'resend',
      sent: 'an event, and the same bytes again',
      expected: ACCEPTED,
      ...(isSvix
        ? {
            why: 'Svix repeats a request to the byte where a connection broke within a second: who refuses what it has seen is tried for a day.',
            source: 'Svix, webhook_http_client.rs',
          }
        : {
            why: 'A sender whose connection broke does not know whether its event arrived, and sends it again.',
          }),
      order: 'last',
      make: () => {
        const shot = goodShot(stage, 'resend');
        return [shot, shot];
      },
    },
    {
      name: 'retry',
      sent: 'an event, and again under a new time and signature',
      expected: ACCEPTED,
      why: 'The id stays the same over all attempts: a copy of what was accepted is acknowledged again, not processed again.',
      source: 'Standard Webhooks, "Webhook metadata"',
      lacks: signed,
      order: 'last',
      make: () => {
        const event = makeEvent(stage, 'retry');
        return [shotOf(stage, event), shotOf(stage, { ...event, timestamp: secondsFromNow(1) })];
      },
    },
    {
      name: 'copy-in-flight',
      sent: 'an event, and a copy before its answer',
      expected: COPIES,
      why: 'While the first is being worked on, its copy may wait for it or be told to come again, but one of both is accepted.',
      source: isSvix ? 'Svix, webhook_http_client.rs' : undefined,
      order: 'copies',
      make: () => {
        const shot = goodShot(stage, 'copy-in-flight');
        return [shot, shot];
      },
    },
    {
      name: 'same-id-other-body',
      sent: 'another event under the id of an accepted one',
      expected: ANSWERED,
      why: 'The id is the key by which copies are told: it may be taken for one, or refused for what it is.',
      source: 'Standard Webhooks, "Webhook metadata"',
      lacks: signed,
      order: 'last',
      make: () => {
        const event = makeEvent(stage, 'same-id-other-body');
        return [shotOf(stage, event), shotOf(stage, { ...makeEvent(stage, 'another'), id: event.id })];
      },
    },
    {
      name: 'names-in-capitals',
      sent: 'a good event, its field names in capitals',
      expected: ACCEPTED,
      why: 'Field names are case-insensitive: senders write Webhook-Id, webhook-id, and proxies change it.',
      source: 'RFC 9110, section 5.1',
      make: () => {
        const shot = goodShot(stage, 'names-in-capitals');
        const fields = shot.message.fields.map(([name, value]): Field => [name.toUpperCase(), value]);
        return [{ ...shot, message: { ...shot.message, fields } }];
      },
    },
    rotated(
      'rotated-new-first',
      'signed with the right secret, then one unknown',
      'During a rotation the header lists a signature for each secret; one that holds is enough.',
      (...event) => `${right(...event)} ${strange(...event)}`,
    ),
    rotated(
      'rotated-old-first',
      'signed with a secret unknown, then the right one',
      'The signature that holds may stand at any place of the list: whoever looks at the first alone is down after a rotation.',
      (...event) => `${strange(...event)} ${right(...event)}`,
    ),
    {
      ...rotated(
        'eleven-signatures',
        'signed with eleven secrets, the right one last',
        'Svix keeps ten old secrets for a day, so that a list can have eleven signatures.',
        (...event) => [...Array.from({ length: 10 }, () => strange(...event)), right(...event)].join(' '),
      ),
      source: 'Svix, core/types/mod.rs',
    },
    rotated(
      'unknown-version-beside',
      'a signature of an unknown version beside the right one',
      'A later version of the scheme is announced beside the old one, and receivers pass it over.',
      (...event) => `v9,${strange(...event).replace(/^\w+,/, '')} ${right(...event)}`,
    ),
    {
      ...rotated(
        'old-secret-alone',
        'signed with the old secret alone',
        'Until the sender has the new secret it signs with the old one: a receiver takes both while they change.',
        (...event) => keys[1]?.sign(...event) ?? '',
      ),
      lacks:
        signed ?? (keys.length > 1 ? undefined : 'no second secret was given, that is being rotated out'),
    },
    {
      name: 'both-families',
      sent: 'webhook-* and svix-* fields that say the same',
      expected: { ...ACCEPTED, doubtful: ['4xx'] },
      why: 'Who moves from one scheme to the other sends both for a while; more fields do not spoil what is right.',
      source: 'Standard Webhooks, "Migrating to Standard Webhooks"',
      lacks: signed,
      make: () => {
        const event = makeEvent(stage, 'both-families');
        const fields = signatureFields(stage, event);
        const twice = [...fields, ...fields.map(([name, value]): Field => [otherFamily(stage, name), value])];
        const { message, identity } = shotOf(stage, event);
        return [{ identity, message: { ...message, fields: [...message.fields, ...twice.slice(3)] } }];
      },
    },
    {
      name: 'families-differ',
      sent: 'good fields, and the other family with another id',
      expected: BETTER_REFUSED,
      why: 'Where one part verifies svix-id and another tells copies by webhook-id, a captured event passes again and again.',
      lacks: signed,
      make: () => {
        const event = makeEvent(stage, 'families-differ');
        const { message, identity } = shotOf(stage, event);
        const other = { ...event, id: `${event.id}x` };
        const forged = signatureFields(stage, other, strange(other.id, other.timestamp, other.body));
        const fields = forged.map(([name, value]): Field => [otherFamily(stage, name), value]);
        return [{ identity, message: { ...message, fields: [...message.fields, ...fields] } }];
      },
    },
  ];
}

function otherFamily(stage: Stage, name: string): string {
  const family = familyOf(stage);
  return `${family === 'svix' ? 'webhook' : 'svix'}${name.slice(family.length)}`;
}
