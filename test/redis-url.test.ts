import { describe, expect, test } from 'vitest';
import { readRedisUrl } from '../src/config/redis-url.ts';

const NOBODY = { username: undefined, password: undefined };
const one = { kind: 'single', isTls: false, ...NOBODY, master: undefined, database: 0 };

describe('the URL of a Redis', () => {
  test.each([
    ['redis://127.0.0.1', { ...one, hosts: [{ host: '127.0.0.1', port: 6379 }] }],
    ['redis://redis.internal:6380/', { ...one, hosts: [{ host: 'redis.internal', port: 6380 }] }],
    ['rediss://[::1]:6380/15', { ...one, isTls: true, database: 15, hosts: [{ host: '::1', port: 6380 }] }],
    ['redis://:pw@h', { ...one, password: 'pw', hosts: [{ host: 'h', port: 6379 }] }],
    [
      'redis://a%3Ab:p%40%2F%25%C3%A9@h/1',
      { ...one, username: 'a:b', password: 'p@/%é', database: 1, hosts: [{ host: 'h', port: 6379 }] },
    ],
    [
      'redis+sentinel://u:p@h1,h2:5/m/2',
      {
        ...one,
        kind: 'sentinel',
        username: 'u',
        password: 'p',
        hosts: [
          { host: 'h1', port: 26379 },
          { host: 'h2', port: 5 },
        ],
        master: 'm',
        database: 2,
      },
    ],
    [
      'rediss+cluster://h1:1,h2',
      {
        ...one,
        kind: 'cluster',
        isTls: true,
        hosts: [
          { host: 'h1', port: 1 },
          { host: 'h2', port: 6379 },
        ],
      },
    ],
  ])('%s', (text, expected) => expect(readRedisUrl(text)).toEqual(expected));

  test.each([
    ['http://h', undefined],
    ['redis:h', undefined],
    ['redis+unix://h', undefined],
    ['redis://', undefined],
    ['redis://a@b@h', /percent-encode/],
    ['redis://u:p/w@h', /percent-encode/],
    ['redis://h?db=1', /percent-encode/],
    ['redis://u:p%4@h', /%25/],
    ['redis://u@h', /user name without a password/],
    ['redis://u:@h', /password of the URL is empty/],
    ['redis://h1,h2', /several hosts/],
    ['redis://h:0', /host of the URL/],
    ['redis://h:65536', /host of the URL/],
    ['redis://h,', /host of the URL/],
    ['redis://h/one', /database/],
    ['redis://h/1/2', /two parts/],
    ['redis+cluster://h/1', /database 0/],
    ['redis+sentinel://h', /master/],
    ['redis+sentinel://h/m/x', /database/],
  ])('%s is refused', (text, expected) => {
    const result = readRedisUrl(text);
    if (expected === undefined) expect(result).toBeUndefined();
    else expect((result as { wrong: string }).wrong).toMatch(expected);
  });
});
