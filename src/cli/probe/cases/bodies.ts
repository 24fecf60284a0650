import { type Case, goodShot, lacksSecret, shotOf } from '../case.ts';
import { documentationOf } from '../documents.ts';
import { ACCEPTED, ANSWERED, type Expectation, REFUSED } from '../expect.ts';
import { makeEvent, type ProbeEvent, type Stage } from '../stage.ts';

const MIB = 1 << 20;
const SCHEME = 'Standard Webhooks, "Signature scheme"';

const LARGE: Expectation = { words: '2xx, or 413', right: ['2xx', 413], doubtful: ['4xx', 'closed'] };
const CHUNKED: Expectation = { words: '2xx, or 411', right: ['2xx', 411], doubtful: ['4xx'] };
const ENDED: Expectation = {
  words: '4xx, or closed',
  right: ['4xx', 'closed'],
  doubtful: ['5xx'],
};

/** Bodies that show whether the receiver verifies the bytes that came, or what it made of them. */
export function bodyCases(stage: Stage): Case[] {
  const lacks = lacksSecret(stage);
  const [key] = stage.keys;
  const well = key === undefined ? '' : ', well signed';
  const sign = (event: ProbeEvent): string => key?.sign(event.id, event.timestamp, event.body) ?? '';
  /** Signed with one body, sent with another. */
  const changed = (name: string, signed: (body: Buffer) => Buffer, sent: (body: Buffer) => Buffer) => () => {
    const event = makeEvent(stage, name);
    const signature = sign({ ...event, body: signed(event.body) });
    return [shotOf(stage, { ...event, body: sent(event.body) }, {}, signature)];
  };
  const withBody = (name: string, body: (event: ProbeEvent) => Buffer) => () => {
    const event = makeEvent(stage, name);
    return [shotOf(stage, { ...event, body: body(event) })];
  };
  const same = (body: Buffer): Buffer => body;

  return [
    {
      name: 'other-body',
      sent: 'the signature of another body',
      expected: REFUSED,
      why: 'The body is what the signature is for.',
      source: SCHEME,
      lacks,
      make: changed('other-body', () => Buffer.from('{}'), same),
    },
    {
      name: 'trailing-newline',
      sent: 'a newline behind the body that was signed',
      expected: REFUSED,
      why: 'The bytes that came are verified, not what is left of them when they are trimmed.',
      source: SCHEME,
      lacks,
      make: changed('trailing-newline', same, (body) => Buffer.concat([body, Buffer.from('\n')])),
    },
    {
      name: 're-serialised',
      sent: 'the same JSON with other spaces than was signed',
      expected: REFUSED,
      why: 'A receiver that parses, writes the JSON anew and verifies that lets through what was never signed.',
      source: documentationOf(stage.profile),
      lacks,
      make: changed('re-serialised', same, (body) =>
        Buffer.from(JSON.stringify(JSON.parse(String(body)), undefined, 2)),
      ),
    },
    {
      name: 'odd-json',
      sent: 'a good event whose JSON has odd spaces, numbers and escapes',
      expected: ACCEPTED,
      why: 'The raw body is verified: JSON that would be written otherwise by the receiver is as good as any.',
      source: stage.profile.signature && documentationOf(stage.profile),
      make: withBody('odd-json', ({ body }) =>
        Buffer.from(
          `${String(body).slice(0, -1)} ,\t"odd" : [1.0, 1e2, "\\u00e9\\/", 12345678901234567890 ] }`,
        ),
      ),
    },
    {
      name: 'other-bytes-same-text',
      sent: 'other bytes than were signed, which decode to the same text',
      expected: REFUSED,
      why: 'Who decodes the body before verifying takes every byte that is no UTF-8 for the same sign, so that many bodies share one signature.',
      source: SCHEME,
      lacks,
      make: changed(
        'other-bytes-same-text',
        (body) => noted(body, Buffer.from('\ufffd')),
        (body) => noted(body, Buffer.of(0xff)),
      ),
    },
    {
      name: 'no-utf-8',
      sent: `a body that is no UTF-8${well}`,
      expected: ANSWERED,
      why: 'It may be handed on as it is or refused as no JSON, but it must not be a fault.',
      make: withBody('no-utf-8', ({ body }) => noted(body, Buffer.of(0xff, 0xfe))),
    },
    {
      name: 'no-json',
      sent: `a body that is no JSON${well}`,
      expected: ANSWERED,
      why: 'Other content types are allowed; who needs JSON says 4xx, and does not fail.',
      source: stage.profile.signature && 'Standard Webhooks, "Payload structure"',
      make: withBody('no-json', () => Buffer.from('postern.probe: this is no JSON')),
    },
    {
      name: 'empty-body',
      sent: `no body at all${well}`,
      expected: ANSWERED,
      why: 'It may be taken or refused, but it must not be a fault.',
      make: withBody('empty-body', () => Buffer.alloc(0)),
    },
    {
      name: 'large',
      sent: 'a good event of 1 MiB',
      expected: LARGE,
      why: 'No document bounds the size; who does answers 413 before closing, or the sender learns nothing.',
      source: 'Standard Webhooks, "Payload size"; RFC 9110, section 15.5.14',
      make: withBody('large', ({ body }) => filled(body, MIB)),
    },
    {
      name: 'chunked',
      sent: 'a good event in chunks, its length not said before',
      expected: CHUNKED,
      why: 'Svix says the length, a proxy between may not: HTTP/1.1 receivers read chunks, or ask for the length with 411.',
      source: 'RFC 9112, section 7.1; RFC 9110, section 15.5.12',
      make: () => [goodShot(stage, 'chunked', { framing: 'chunked', pieces: 3 })],
    },
    {
      name: 'in-pieces',
      sent: 'a good event, its body in four pieces over a second',
      expected: ACCEPTED,
      why: 'A body comes in as many reads as the network likes.',
      make: () => [goodShot(stage, 'in-pieces', { pieces: 4, pauseMs: 250 })],
    },
    {
      name: 'slow',
      sent: 'a good event, its body in eight pieces over eight seconds',
      expected: { ...ACCEPTED, doubtful: ['4xx', 'closed'] },
      why: 'A sender behind a slow line has its whole deadline.',
      source: documentationOf(stage.profile),
      slowMs: 25_000,
      make: () => [goodShot(stage, 'slow', { pieces: 8, pauseMs: 1_000 })],
    },
    {
      name: 'stalled',
      sent: 'half an event, and then nothing more',
      expected: ENDED,
      why: 'A receiver that waits for ever can be held up by anyone with a few hundred connections.',
      source: 'RFC 9110, section 15.5.9',
      slowMs: 75_000,
      make: () => [goodShot(stage, 'stalled', { pieces: 2, pauseMs: 600_000 })],
    },
  ];
}

/** The event with some bytes more in a text of it. */
function noted(body: Buffer, bytes: Buffer): Buffer {
  const [start, end] = [body.subarray(0, -1), Buffer.from('"}')];
  return Buffer.concat([start, Buffer.from(',"odd":"'), bytes, end]);
}

/** The event with so much filling that it has exactly this size. */
function filled(body: Buffer, bytes: number): Buffer {
  const [start, end] = [
    Buffer.concat([body.subarray(0, -1), Buffer.from(',"filling":"')]),
    Buffer.from('"}'),
  ];
  return Buffer.concat([start, Buffer.alloc(bytes - start.length - end.length, 'x'), end]);
}
