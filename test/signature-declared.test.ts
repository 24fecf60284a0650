import { describe, expect, test } from 'vitest';
import { check, full, mac, NOW_S, plain, SECRET, signed } from './support/declared.ts';
import { verdictOf } from './support/schemes.ts';

describe('the header of a signature', () => {
  test('holds a time and a signature, in either order, among others', () => {
    const right = mac(`an-id.${NOW_S}.{}`);
    const wrong = 'a'.repeat(64);
    for (const value of [
      `t=${NOW_S},v1=${right}`,
      `v1=${right},t=${NOW_S}`,
      `v1=${wrong},v0=x,,t=${NOW_S},v1=${right},v2=`,
      `t=${NOW_S},v1=${right.toUpperCase()}`,
    ]) {
      expect(
        check(
          full,
          [
            ['x-id', 'an-id'],
            ['x-signature', value],
          ],
          '{}',
        ),
      ).toEqual({ secret: 0, messageId: 'an-id' });
    }
  });

  const right = `v1=${mac(`an-id.${NOW_S}.{}`)}`;
  test.each([
    ['nothing', '', 'missing'],
    ['no time', right, 'missing'],
    ['no signature', `t=${NOW_S}`, 'missing'],
    ['a signature of another version only', `t=${NOW_S},${right.replace('v1', 'v0')}`, 'missing'],
    ['two times', `t=${NOW_S},t=${NOW_S},${right}`, 'malformed'],
    ['a time of letters', `t=now,${right}`, 'malformed'],
    ['a time with a sign', `t=+${NOW_S},${right}`, 'malformed'],
    ['a time with a zero ahead', `t=0${NOW_S},${right}`, 'malformed'],
    ['a time in hexadecimal', `t=0x6553f100,${right}`, 'malformed'],
    ['white space', `t=${NOW_S}, ${right}`, 'missing'],
    ['a signature cut short', `t=${NOW_S},${right.slice(0, -1)}`, 'malformed'],
    ['a signature too long', `t=${NOW_S},${right}0`, 'malformed'],
    ['an empty signature', `t=${NOW_S},v1=`, 'malformed'],
    ['a signature of other letters', `t=${NOW_S},v1=${'g'.repeat(64)}`, 'malformed'],
    [
      '65 elements',
      [`t=${NOW_S}`, right, ...Array.from({ length: 63 }, () => 'v0=a')].join(','),
      'malformed',
    ],
    ['another signature', `t=${NOW_S},v1=${'0'.repeat(64)}`, 'mismatch'],
    ['a time that was not signed', `t=${NOW_S - 1},${right}`, 'mismatch'],
    ['a stale time', `t=${NOW_S - 301},${right}`, 'stale'],
    ['an early time', `t=${NOW_S + 301},${right}`, 'early'],
  ])('with %s is refused', (_what, value, reason) => {
    expect(
      check(
        full,
        [
          ['x-id', 'an-id'],
          ['x-signature', value],
        ],
        '{}',
      ).reason,
    ).toBe(`signature.${reason}`);
  });

  test('holds up to 64 elements', () => {
    const others = Array.from({ length: 62 }, () => `v1=${'0'.repeat(64)}`);
    expect(
      check(
        full,
        [
          ['x-id', 'an-id'],
          ['x-signature', [`t=${NOW_S}`, ...others, right].join(',')],
        ],
        '{}',
      ).reason,
    ).toBe(undefined);
  });

  test('comes once, and so does every other that is signed', () => {
    for (const name of ['x-id', 'x-signature']) {
      const headers = signed();
      const twice = [...headers, ...headers.filter(([own]) => own === name)];
      expect(check(full, twice, '{}')).toEqual({ reason: 'signature.repeated', detail: name });
      const without = headers.filter(([own]) => own !== name);
      expect(check(full, without, '{}').reason).toBe('signature.missing');
    }
  });

  test('is judged by the tolerance in both directions, to the second', () => {
    for (const at of [NOW_S - 300, NOW_S + 300]) expect(check(full, signed(at), '{}').reason).toBe(undefined);
  });
});

describe('secrets', () => {
  test('are all tried, and the verdict says which', () => {
    const sent = { headers: [['x-signature', mac('{}')] as const], body: '{}' };
    expect(verdictOf(plain, ['another-secret-1', 'another-secret-2', SECRET], sent)).toMatchObject({
      secret: 2,
    });
    expect(verdictOf(plain, ['another-secret-1'], sent).reason).toBe('signature.mismatch');
  });
});
