import { describe, expect, test } from 'vitest';
import { ruleOf, verdictOf } from './support/schemes.ts';

const rule = ruleOf('gitlab');
const TOKEN = 'a-token-of-these-tests-alone';
const check = (...headers: [string, string][]) =>
  verdictOf(rule, ['another-token-of-these-tests', TOKEN], { headers, body: '{}' });

describe('a token', () => {
  test('is one of the secrets, and the event is known by the id that comes with it', () => {
    expect(check(['x-gitlab-token', TOKEN])).toEqual({ secret: 1 });
    expect(check(['x-gitlab-token', TOKEN], ['idempotency-key', 'an-id'])).toEqual({
      secret: 1,
      messageId: 'an-id',
    });
  });

  test.each([
    ['none', [], 'missing'],
    ['an empty one', [['x-gitlab-token', '']], 'mismatch'],
    ['another', [['x-gitlab-token', `${TOKEN.slice(0, -1)}f`]], 'mismatch'],
    ['a longer one', [['x-gitlab-token', `${TOKEN}e`]], 'mismatch'],
    ['the beginning of it', [['x-gitlab-token', TOKEN.slice(0, 8)]], 'mismatch'],
    ['it in capitals', [['x-gitlab-token', TOKEN.toUpperCase()]], 'mismatch'],
    [
      'it twice',
      [
        ['x-gitlab-token', TOKEN],
        ['x-gitlab-token', TOKEN],
      ],
      'repeated',
    ],
    [
      'two ids',
      [
        ['x-gitlab-token', TOKEN],
        ['idempotency-key', 'a'],
        ['idempotency-key', 'b'],
      ],
      'repeated',
    ],
    [
      'an id with white space',
      [
        ['x-gitlab-token', TOKEN],
        ['idempotency-key', 'a b'],
      ],
      'malformed',
    ],
  ] as [string, [string, string][], string][])('with %s is refused', (_what, headers, reason) => {
    expect(check(...headers).reason).toBe(`signature.${reason}`);
  });
});
