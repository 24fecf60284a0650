import type { RedisUrl } from '../state-settings.ts';
import { scalar, type Wrong, wrong } from './values.ts';

const FORM =
  /^(rediss?)(\+sentinel|\+cluster)?:\/\/(?:([^/@]*)@)?([^/@?#]+)(?:\/([^/?#@]*))?(?:\/([^/?#@]*))?$/;
const HOST = /^(\[[\da-fA-F:.]+\]|[a-zA-Z\d](?:[a-zA-Z\d._-]*[a-zA-Z\d])?)(?::(\d{1,5}))?$/;
const PORT = 6379;
const SENTINEL_PORT = 26_379;

/** Where a Redis or Valkey is, with the credentials for it: a secret as a whole. */
export function redisUrl() {
  return scalar<RedisUrl>({
    expected:
      'a URL such as redis://user:password@host:6379/0, rediss://…, redis+sentinel://host1,host2/master/0 or redis+cluster://host1,host2',
    pattern: 'rediss?(?:\\+sentinel|\\+cluster)?://.+',
    secret: true,
    read: readRedisUrl,
  });
}

/** @returns what the URL says, or what is wrong with it in a sentence that does not hold it */
export function readRedisUrl(text: string): RedisUrl | Wrong | undefined {
  const match = FORM.exec(text);
  if (match === null) {
    const begun = /^rediss?(?:\+sentinel|\+cluster)?:\/\//.test(text);
    return begun && /[?#]|@.*@|\/.*@/.test(text.slice(text.indexOf('://') + 3))
      ? wrong('the URL cannot be read; percent-encode / ? # and @ in the user name and the password')
      : undefined;
  }
  const [, scheme, through, credentials, hostList = '', first, second] = match;
  const kind = through === undefined ? 'single' : through === '+sentinel' ? 'sentinel' : 'cluster';
  const hosts = hostList.split(',').map((host) => readHost(host, kind));
  if (hosts.some((host) => host === undefined))
    return wrong('a host of the URL cannot be read; write host:port, an IPv6 address in brackets');
  const known = hosts as RedisUrl['hosts'];
  if (kind === 'single' && known.length > 1)
    return wrong('several hosts need redis+sentinel:// or redis+cluster:// in front');
  const who = readCredentials(credentials);
  if ('wrong' in who) return who;
  const place = readPlace(kind, first ?? '', second ?? '');
  if ('wrong' in place) return place;
  return { kind, isTls: scheme === 'rediss', hosts: known, ...who, ...place };
}

function readHost(text: string, kind: RedisUrl['kind']): RedisUrl['hosts'][number] | undefined {
  const match = HOST.exec(text);
  if (match === null) return undefined;
  const port = match[2] === undefined ? (kind === 'sentinel' ? SENTINEL_PORT : PORT) : Number(match[2]);
  if (port < 1 || port > 65_535) return undefined;
  return { host: (match[1] as string).replace(/^\[|\]$/g, ''), port };
}

function readCredentials(text: string | undefined): Pick<RedisUrl, 'username' | 'password'> | Wrong {
  const colon = text?.indexOf(':') ?? -1;
  if (text === undefined || text === '' || text === ':') return { username: undefined, password: undefined };
  if (colon === -1) return wrong('the URL has a user name without a password; write user:password@');
  const username = decoded(text.slice(0, colon));
  const password = decoded(text.slice(colon + 1));
  if (username === undefined || password === undefined)
    return wrong(
      'a % of the user name or password does not stand before two hexadecimal digits; write it as %25',
    );
  if (password === '') return wrong('the password of the URL is empty; give it, or leave out user and colon');
  return { username: username === '' ? undefined : username, password };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** What stands behind the hosts: `/0`, `/master/0`, or nothing. */
function readPlace(
  kind: RedisUrl['kind'],
  first: string,
  second: string,
): Pick<RedisUrl, 'master' | 'database'> | Wrong {
  const number = kind === 'sentinel' ? second : first;
  if (kind !== 'sentinel' && second !== '')
    return wrong('the path of the URL has two parts; only redis+sentinel:// has a master and a database');
  if (!/^\d{0,5}$/.test(number)) return wrong('the database at the end of the URL is not a number');
  const database = Number(number);
  if (kind === 'cluster' && database !== 0)
    return wrong('a cluster has the database 0 alone; remove the path of the URL');
  if (kind !== 'sentinel') return { master: undefined, database };
  const master = decoded(first);
  if (master === undefined || master === '')
    return wrong("the URL does not name the sentinels' master; write it behind the hosts: …/mymaster");
  return { master, database };
}
