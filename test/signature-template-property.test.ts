import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readContent } from '../src/config/signature-content.ts';
import type { ContentPiece, HmacRule } from '../src/signature-settings.ts';
import { SECRET } from './support/declared.ts';
import { type Sent, verdictOf } from './support/schemes.ts';

const NOW_S = 1_700_000_000;

/** A declaration: what is signed in which order, and how the signature is written. */
const declarations = fc
  .record({
    algorithm: fc.constantFrom('sha1' as const, 'sha256' as const, 'sha512' as const),
    encoding: fc.constantFrom('hex' as const, 'base64' as const, 'base64url' as const),
    prefix: fc.constantFrom('', 'sha256=', 'v1=', 'sig:'),
    places: fc.shuffledSubarray(['timestamp', 'id', 'method', 'url'] as const),
    at: fc.nat({ max: 4 }),
    texts: fc.array(fc.stringMatching(/^[.:|~ ]{1,3}$/), { minLength: 6, maxLength: 6 }),
    list: fc.boolean(),
  })
  .map(({ places, at, texts, list, ...rest }) => {
    const names: string[] = [...places];
    names.splice(Math.min(at, names.length), 0, 'body');
    const template = names.map((name, place) => `{${name}}${texts[place]}`).join('');
    const content = readContent(template);
    if ('wrong' in content) throw new Error(content.wrong);
    const rule: HmacRule = {
      scheme: 'hmac',
      ...rest,
      secretEncoding: 'text',
      header: 'x-signature',
      separator: list ? ',' : undefined,
      content,
      timestamp: places.includes('timestamp') ? { header: 'x-time', unitMs: 1000 } : undefined,
      toleranceMs: 300_000,
      id: places.includes('id') ? { from: 'header', name: 'x-id' } : { from: 'content' },
      bodyHash: undefined,
      origin: undefined,
    };
    return rule;
  });

/** The parts of one event; ids and URLs have none of the marks that stand between the parts. */
const events = fc.record({
  timestamp: fc.integer({ min: NOW_S - 300, max: NOW_S + 300 }).map(String),
  id: fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/),
  method: fc.constantFrom('POST', 'PUT'),
  url: fc.stringMatching(/^[a-z]{1,8}\/[a-z]{0,8}(\?[a-z]=[a-z]{1,4})?$/),
  body: fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
});
type Event = typeof events extends fc.Arbitrary<infer T> ? T : never;

/** What the declaration says is signed, put together by other means than the gateway's. */
function bytesOf(content: readonly ContentPiece[], event: Event): Buffer {
  return Buffer.concat(
    content.map((piece) => {
      if ('text' in piece) return Buffer.from(piece.text);
      if (piece.place === 'body') return event.body;
      if (piece.place === 'url') return Buffer.from(`https://${event.url}`);
      return Buffer.from(event[piece.place as 'timestamp' | 'id' | 'method']);
    }),
  );
}

function signatureOf(rule: HmacRule, event: Event): string {
  return createHmac(rule.algorithm, SECRET).update(bytesOf(rule.content, event)).digest(rule.encoding);
}

function sentOf(rule: HmacRule, event: Event, signature: string): Sent {
  const headers: [string, string][] = [['x-signature', rule.prefix + signature]];
  if (rule.timestamp !== undefined) headers.push(['x-time', event.timestamp]);
  if (rule.id.from === 'header') headers.push(['x-id', event.id]);
  return { method: event.method, url: event.url, headers, body: event.body };
}

const check = (rule: HmacRule, sent: Sent) => verdictOf(rule, [SECRET], sent, NOW_S * 1000);

describe('any declaration', () => {
  test('takes what was signed by it', () => {
    fc.assert(
      fc.property(declarations, events, (rule, event) => {
        const verdict = check(rule, sentOf(rule, event, signatureOf(rule, event)));
        expect(verdict).toMatchObject({ secret: 0 });
        if (rule.id.from === 'header') expect(verdict).toMatchObject({ messageId: event.id });
      }),
      { numRuns: 500 },
    );
  });

  test('takes nothing else: a part of another event under the same signature, wherever that part is signed', () => {
    fc.assert(
      fc.property(declarations, events, events, (rule, event, other) => {
        const signature = signatureOf(rule, event);
        for (const piece of rule.content) {
          if (!('place' in piece)) continue;
          const part = piece.place as keyof Event;
          const forged = { ...event, [part]: other[part] };
          if (String(forged[part]) === String(event[part])) continue;
          expect([part, check(rule, sentOf(rule, forged, signature)).reason]).toEqual([
            part,
            'signature.mismatch',
          ]);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('takes no signature with one character changed, added or left out', () => {
    fc.assert(
      fc.property(declarations, events, fc.nat(), fc.stringMatching(/^[!-~]$/), (rule, event, where, by) => {
        const right = signatureOf(rule, event);
        const at = where % right.length;
        for (const wrong of [
          right.slice(0, at) + by + right.slice(at + 1),
          right.slice(0, at) + by + right.slice(at),
          right.slice(0, at) + right.slice(at + 1),
        ]) {
          const isSame = rule.encoding === 'hex' ? wrong.toLowerCase() === right : wrong === right;
          if (isSame || (rule.encoding === 'base64url' && wrong.replace(/=+$/, '') === right)) continue;
          expect(check(rule, sentOf(rule, event, wrong)).reason).toMatch(
            /^signature\.(?:mismatch|malformed|missing)$/,
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  test('answers any headers with a verdict, and lets none of them in', () => {
    const names = fc.constantFrom(
      'x-signature',
      'x-time',
      'x-id',
      'content-type',
      '__proto__',
      'constructor',
    );
    const values = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom('', ',', '=', '.'.repeat(9000)),
    );
    fc.assert(
      fc.property(
        declarations,
        events,
        fc.array(fc.tuple(names, values), { maxLength: 8 }),
        (rule, event, headers) => {
          const latin1 = headers.map(
            ([name, value]) => [name, Buffer.from(value).toString('latin1')] as const,
          );
          expect(check(rule, { ...sentOf(rule, event, ''), headers: latin1 }).reason).toMatch(/^signature\./);
        },
      ),
      { numRuns: 500 },
    );
  });
});
