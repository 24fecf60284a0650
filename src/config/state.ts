import { resolve } from 'node:path';
import type { z } from 'zod';
import type { RedisSettings, StateSettings } from '../state-settings.ts';
import { encryptionKey } from './encryption-key.ts';
import { either, list, readSection, section } from './issues.ts';
import type { Report } from './problems.ts';
import { redisUrl } from './redis-url.ts';
import type { Watched } from './tls.ts';
import { loadUpstreamTls } from './upstream-tls.ts';
import { duration, pemFile, scalar, size, text, word } from './values.ts';

const LONGEST_KEPT_HOURS = 10 * 365 * 24;

const retentionSchema = section(
  {
    delivered: duration({ zero: true, maxHours: LONGEST_KEPT_HOURS })
      .prefault('7d')
      .describe('How long events are kept after their delivery.'),
    dead: duration({ maxHours: LONGEST_KEPT_HOURS })
      .optional()
      .describe('How long dead letters are kept; default: until they are retried or discarded.'),
    size: size()
      .optional()
      .describe('What delivered events may take up together; the oldest go first; default: no bound.'),
  },
  'a mapping with delivered, dead and size',
);

const redisTls = section(
  {
    ca: pemFile()
      .optional()
      .describe("The PEM file of the authorities that vouch for Redis; default: Node's own."),
    certificate: pemFile()
      .optional()
      .describe('The PEM file of the certificate shown to Redis; it may hold the key too.'),
    private_key: pemFile().optional().describe('The PEM file of the private key of that certificate.'),
  },
  'a mapping with ca, certificate and private_key',
);

export const stateSchema = section(
  {
    driver: word(['sqlite', 'memory', 'redis'])
      .prefault('sqlite')
      .describe(
        'Where events are kept and remembered: sqlite survives a restart, memory does not, redis is shared by several gateways.',
      ),
    path: text('the path of a file')
      .prefault('../data/postern.db')
      .describe('The database file of the driver sqlite.'),
    url: redisUrl()
      .optional()
      .describe(
        'With driver: redis, where it is: redis:// or rediss://user:password@host:port/0, redis+sentinel://h1,h2/master, redis+cluster://h1,h2.',
      ),
    prefix: scalar<string>({
      expected: 'a prefix of letters, digits, ".", "_" and "-", such as postern',
      pattern: '[a-zA-Z0-9._-]+',
      read: (value) => (/^[a-zA-Z0-9._-]+$/.test(value) ? value : undefined),
    })
      .prefault('postern')
      .describe('With driver: redis, what its keys begin with; gateways of one prefix share everything.'),
    tls: redisTls.optional().describe('With a rediss url, how the gateway and Redis know each other.'),
    encryption_key: either(
      [encryptionKey(), list(encryptionKey(), 'a list of keys such as ["…"]')],
      'a key of 32 bytes in base64, or a list of such',
    )
      .optional()
      .describe('Encrypts queued events at rest (AES-256-GCM); of a list the first encrypts, all decrypt.'),
    retention: retentionSchema
      .prefault({})
      .describe('How long events of the queue are kept once they are done with.'),
  },
  'a mapping with driver, path or url, encryption_key and retention',
);

type Driver = StateSettings['driver'];

/** What each driver has no use for, and which driver does. */
const UNUSED: Readonly<Record<Driver, Readonly<Record<string, Driver>>>> = {
  memory: { path: 'sqlite', encryption_key: 'sqlite', url: 'redis', prefix: 'redis', tls: 'redis' },
  sqlite: { url: 'redis', prefix: 'redis', tls: 'redis' },
  redis: { path: 'sqlite' },
};

/** The keys of `state` that a driver has no use for. */
export function unusedKeys(driver: Driver): readonly string[] {
  return Object.keys(UNUSED[driver]);
}

/**
 * Where what outlives a request is kept.
 * @param sharesPort whether several processes listen on the port
 */
export function loadState(
  root: Readonly<Record<string, unknown>>,
  sharesPort: boolean,
  report: Report,
  watched: Watched[],
): StateSettings | undefined {
  const given = root.state === undefined ? {} : root.state;
  const { values, right } = readSection(stateSchema, given, ['state'], report);
  const { driver, path, prefix, retention } = values;
  if (driver === undefined) return undefined;
  for (const [key, other] of Object.entries(UNUSED[driver])) {
    const why =
      driver === 'memory' && other === 'sqlite'
        ? 'memory keeps no file'
        : `the driver ${driver} does not use it`;
    if (Object.hasOwn(Object(root.state), key))
      report.add(['state', key], `${why}; remove ${key}, or write driver: ${other}`, 'key');
  }
  if (driver === 'memory' && sharesPort) {
    report.add(
      ['state', 'driver'],
      'memory is of one process, so with listen.reuse_port an event and its copy that reach two would both be delivered; write driver: sqlite or redis',
    );
  }
  const redis = driver === 'redis' ? loadRedis(values, right('url'), report, watched) : undefined;
  if (path === undefined || prefix === undefined || retention === undefined) return undefined;
  const kept = {
    retention: { deliveredMs: retention.delivered, deadMs: retention.dead, sizeBytes: retention.size },
  };
  if (driver === 'memory') return { driver, ...kept };
  const keys = values.encryption_key === undefined ? [] : [values.encryption_key].flat();
  if (driver === 'sqlite') return { driver, path: resolve(report.source.folder, path), keys, ...kept };
  return redis && { driver, ...redis, prefix, keys, ...kept };
}

function loadRedis(
  { url, tls }: Partial<z.output<typeof stateSchema>>,
  isUrlRight: boolean,
  report: Report,
  watched: Watched[],
): Pick<RedisSettings, 'url' | 'tls'> | undefined {
  if (url === undefined && isUrlRight)
    report.add(['state'], 'driver: redis needs url; give one such as redis://user:password@host:6379');
  if (tls !== undefined && url?.isTls === false)
    report.add(['state', 'tls'], 'has no effect without TLS; write rediss in the url, or remove tls', 'key');
  const loaded = tls && loadUpstreamTls(tls, ['state', 'tls'], report, watched);
  return url === undefined || loaded === false ? undefined : { url, tls: loaded };
}
