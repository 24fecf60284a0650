import { type Case, lacksSecret, type Shot, shotOf } from '../case.ts';
import { BETTER_REFUSED, REFUSED } from '../expect.ts';
import { type Field, without } from '../message.ts';
import { familyOf, makeEvent, type ProbeEvent, type Stage, secondsFromNow } from '../stage.ts';

const SPEC = 'Standard Webhooks, "Verifying signatures"';
const HOUR_S = 3600;

/** What somebody without the secret can send, or send again. Each is a good event but for one thing. */
export function forgedCases(stage: Stage): Case[] {
  const lacks = lacksSecret(stage);
  const [key] = stage.keys;
  const family = familyOf(stage);
  const sign = (event: ProbeEvent): string => key?.sign(event.id, event.timestamp, event.body) ?? '';
  const forged = (
    name: string,
    sent: string,
    why: string,
    forge: (event: ProbeEvent) => Shot,
    other: Partial<Case> = {},
  ): Case => {
    const make = (): Shot[] => [forge(makeEvent(stage, name))];
    return { name, sent, why, expected: REFUSED, source: SPEC, lacks, make, ...other };
  };
  /** Signed as one event, sent as another. */
  const swapped = (signed: ProbeEvent, sent: ProbeEvent): Shot => shotOf(stage, sent, {}, sign(signed));
  /** The message less some of its signature's fields. */
  const lacking = (event: ProbeEvent, ...parts: readonly string[]): Shot => {
    const shot = shotOf(stage, event);
    const fields = without(shot.message.fields, ...parts.map((part) => `${family}-${part}`));
    return { ...shot, message: { ...shot.message, fields } };
  };
  const missing = (part: string): Case =>
    forged(
      `without-${part}`,
      `a good event without ${family}-${part}`,
      `All three fields are signed or sign: without ${family}-${part} there is nothing to verify.`,
      (event) => lacking(event, part),
    );

  return [
    forged(
      'unsigned',
      'an event that is not signed',
      'Anybody can send a request: what is not signed is from nobody.',
      (event) => lacking(event, 'id', 'timestamp', 'signature'),
    ),
    missing('id'),
    missing('timestamp'),
    missing('signature'),
    forged(
      'empty-signature',
      'a signature without a character in it',
      'Nothing must not be equal to nothing.',
      (event) => shotOf(stage, event, {}, `${sign(event).replace(/,.*/, ',')}`),
    ),
    forged(
      'half-signature',
      'the first half of the right signature',
      'A signature is compared whole, or it can be guessed piece by piece.',
      (event) => shotOf(stage, event, {}, sign(event).slice(0, -24)),
    ),
    forged(
      'other-secret',
      'signed with a secret of somebody else',
      'The secret is all that tells the sender from others.',
      (event) => shotOf(stage, event, {}, key?.stranger().sign(event.id, event.timestamp, event.body) ?? ''),
    ),
    forged(
      'other-version',
      'the right signature under a version that does not exist',
      'A scheme that is not known proves nothing.',
      (event) => shotOf(stage, event, {}, sign(event).replace(/^\w+,/, 'v9,')),
    ),
    forged(
      'other-id',
      'the signature of an event under another id',
      'The id is signed, so that a captured event cannot come back as a new one.',
      (event) => swapped({ ...event, id: `${event.id}x` }, event),
      { source: 'Standard Webhooks, "Signature scheme"' },
    ),
    forged(
      'other-time',
      'the signature of ten seconds before, under the time of now',
      'The time is signed, so that a captured event cannot be made fresh again.',
      (event) => swapped({ ...event, timestamp: secondsFromNow(-10) }, event),
      { source: 'Standard Webhooks, "Signature scheme"' },
    ),
    forged(
      'stale',
      'an event well signed an hour ago',
      'Without a tolerance a captured event can be sent again for ever; the reference libraries allow five minutes.',
      (event) => shotOf(stage, { ...event, timestamp: secondsFromNow(-HOUR_S) }),
    ),
    forged(
      'future',
      'an event well signed an hour ahead',
      'The tolerance holds in both directions: what is dated ahead could be sent again until then.',
      (event) => shotOf(stage, { ...event, timestamp: secondsFromNow(HOUR_S) }),
    ),
    {
      name: 'time-with-junk',
      sent: 'a letter behind the time, signed with it and without it',
      expected: BETTER_REFUSED,
      why: 'The time is an integer, and signed as it stands: who reads 1700000000x as one checks another than was sent.',
      source: 'Standard Webhooks, "Webhook headers"',
      lacks,
      order: 'each',
      make: () =>
        ['with it', 'without it'].map((label) => {
          const event = makeEvent(stage, 'time-with-junk');
          const sent = { ...event, timestamp: `${event.timestamp}x` };
          return { ...swapped(label === 'with it' ? sent : event, sent), label: `one signed ${label}` };
        }),
    },
    forged(
      'time-without-a-number',
      'a word for a time, well signed',
      'In many languages a comparison with what is no number is false, and the check of the time passed by it.',
      (event) => shotOf(stage, { ...event, timestamp: 'now' }),
      { expected: BETTER_REFUSED, source: 'Standard Webhooks, "Webhook headers"' },
    ),
    forged(
      'id-with-dot',
      'an id with a full stop in it, well signed',
      'The full stop separates what is signed: an id that holds one can be read as another id at another time.',
      (event) => shotOf(stage, { ...event, id: `${event.id}.1` }),
      { expected: BETTER_REFUSED, source: 'Standard Webhooks, "Signature scheme"' },
    ),
    forged(
      'repeated-id',
      'a good event with a second, other id',
      'Where one part verifies the first and another tells copies by the last, a captured event passes again and again.',
      (event) => {
        const shot = shotOf(stage, event);
        const second: Field = [`${family}-id`, `${event.id}x`];
        return { ...shot, message: { ...shot.message, fields: [...shot.message.fields, second] } };
      },
      { expected: BETTER_REFUSED, source: 'RFC 9110, section 5.3' },
    ),
  ];
}
