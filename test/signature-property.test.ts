import fc from 'fast-check';
import { Webhook, WebhookVerificationError } from 'svix';
import { describe, expect, test } from 'vitest';
import { type SignedEvent, TOLERANCE_S, v1, verdictOf } from './support/verifier.ts';

/** Whether `svix` takes the event. */
function svixTakes(event: SignedEvent, secret: string): boolean {
  try {
    new Webhook(secret).verify(event.body, {
      [`${event.family}-id`]: event.id,
      [`${event.family}-timestamp`]: event.timestamp,
      [`${event.family}-signature`]: event.signature,
    });
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

const now = (): number => Math.floor(Date.now() / 1000);
const secrets = fc
  .uint8Array({ minLength: 24, maxLength: 75 })
  .map((key) => `whsec_${Buffer.from(key).toString('base64')}`);
const ids = fc.stringMatching(/^[!-\-/-~]{1,256}$/);
const bodies = fc.oneof(fc.json(), fc.string({ unit: 'binary', maxLength: 300 }));
// The very second of the limit is left out: the clock moves between the two answers.
const skews = fc.oneof(
  fc.integer({ min: -(TOLERANCE_S - 5), max: TOLERANCE_S - 5 }),
  fc.integer({ min: -100_000, max: -(TOLERANCE_S + 5) }),
  fc.integer({ min: TOLERANCE_S + 5, max: 100_000 }),
);
const noise = fc.array(
  fc.oneof(
    fc
      .uint8Array({ minLength: 32, maxLength: 32 })
      .map((bytes) => `v1,${Buffer.from(bytes).toString('base64')}`),
    fc.stringMatching(/^v[2-9],[A-Za-z0-9+/]{1,60}={0,2}$/),
    fc.stringMatching(/^v1,[A-Za-z0-9+/]{1,60}={0,2}$/),
  ),
  { maxLength: 6 },
);

interface Case {
  readonly secret: string;
  readonly other: string;
  readonly event: SignedEvent;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    secret: secrets,
    other: secrets,
    family: fc.constantFrom('webhook' as const, 'svix' as const),
    id: ids,
    body: bodies,
    skew: skews,
    before: noise,
    after: noise,
  })
  .map(({ secret, other, family, id, body, skew, before, after }) => {
    const seconds = now() + skew;
    const right = new Webhook(secret).sign(id, new Date(seconds * 1000), body);
    const signature = [...before, right, ...after].join(' ');
    return { secret, other, event: { family, id, timestamp: String(seconds), signature, body } };
  });

describe('own verifier and svix agree', () => {
  test('on every well-formed event, in time or not', () => {
    fc.assert(
      fc.property(cases, ({ secret, event }) => {
        const verdict = verdictOf(event, [v1(secret)]);
        expect(verdict.reason === undefined).toBe(svixTakes(event, secret));
        if (verdict.reason === undefined) expect(verdict).toEqual({ secret: 0, messageId: event.id });
        else
          expect(verdict.reason).toBe(
            Number(event.timestamp) < now() ? 'signature.stale' : 'signature.early',
          );
      }),
      { numRuns: 300 },
    );
  });

  test('on events of which one thing was changed after signing', () => {
    const changes = fc.record({
      what: fc.constantFrom('id', 'timestamp', 'signature', 'body', 'secret' as const),
      id: ids,
      body: bodies,
      at: fc.nat(),
      char: fc.constantFrom(...'ABCXYZabcxyz0189+/='),
      shift: fc.integer({ min: -50, max: 50 }),
    });
    fc.assert(
      fc.property(cases, changes, ({ secret, other, event }, change) => {
        const place = change.at % event.signature.length;
        const changed: SignedEvent = {
          ...event,
          ...(change.what === 'id' ? { id: change.id } : {}),
          ...(change.what === 'body' ? { body: change.body } : {}),
          ...(change.what === 'timestamp'
            ? { timestamp: String(Number(event.timestamp) + change.shift) }
            : {}),
          ...(change.what === 'signature' && !/[, ]/.test(event.signature[place] ?? '')
            ? { signature: event.signature.slice(0, place) + change.char + event.signature.slice(place + 1) }
            : {}),
        };
        // A shift may bring the time to the very limit, where the two clocks differ.
        fc.pre(Math.abs(Math.abs(now() - Number(changed.timestamp)) - TOLERANCE_S) > 3);
        const used = change.what === 'secret' ? other : secret;
        expect(verdictOf(changed, [v1(used)]).reason === undefined).toBe(svixTakes(changed, used));
      }),
      { numRuns: 500 },
    );
  });

  test('on which of several secrets it was', () => {
    fc.assert(
      fc.property(cases, fc.array(secrets, { maxLength: 4 }), fc.nat(), ({ secret, event }, others, at) => {
        fc.pre(Math.abs(now() - Number(event.timestamp)) < TOLERANCE_S - 3);
        const all = [...others];
        all.splice(at % (others.length + 1), 0, secret);
        const verdict = verdictOf(event, all.map(v1));
        expect(verdict).toEqual({
          secret: all.findIndex((one) => svixTakes(event, one)),
          messageId: event.id,
        });
      }),
      { numRuns: 150 },
    );
  });
});

/** Where own rules are stricter than svix: what it takes and the gateway must not. */
describe('what svix takes and is refused here', () => {
  const secret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
  const seconds = now();
  const signed = (id: string, body = '{}'): SignedEvent => ({
    family: 'webhook',
    id,
    timestamp: String(seconds),
    signature: new Webhook(secret).sign(id, new Date(seconds * 1000), body),
    body,
  });
  test.each<[string, SignedEvent]>([
    ['junk behind the timestamp', { ...signed('a'), timestamp: `${seconds}junk` }],
    ['a sign before the timestamp', { ...signed('a'), timestamp: `+${seconds}` }],
    ['a full stop in the id', signed('a.b')],
    ['an id of 257 characters', signed('a'.repeat(257))],
    ['65 signatures', { ...signed('a'), signature: `${'v2,AAAA '.repeat(64)}${signed('a').signature}` }],
  ])('%s', (_what, event) => {
    expect(svixTakes(event, secret)).toBe(true);
    expect(verdictOf(event, [v1(secret)]).reason).toBe('signature.malformed');
  });
});
