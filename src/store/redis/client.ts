import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis } from 'ioredis';
import type { RedisSettings } from '../../state-settings.ts';

/** A connection to one Redis, or one to each of the parts of a cluster. */
export type Client = Redis | Cluster;

/** No request waits longer for Redis than this. */
export const ANSWER_MS = 500;
const CONNECT_MS = 2000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;

/**
 * Connects, and again whenever the connection is lost. A command that finds no connection fails at once, and one
 * whose connection breaks is not repeated by itself: a rate limit would count it twice.
 */
export function connectClient({ url, tls }: RedisSettings): Client {
  const common = {
    ...(url.username !== undefined && { username: url.username }),
    ...(url.password !== undefined && { password: url.password }),
    connectionName: 'postern',
    connectTimeout: CONNECT_MS,
    // Ends a handshake that hangs; whoever waits for an answer is told sooner.
    commandTimeout: 2 * ANSWER_MS,
    disconnectTimeout: 200,
    maxRetriesPerRequest: null,
    autoResendUnfulfilledCommands: false,
    // A master that became a replica: the next connection finds the new one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  };
  const security = url.isTls ? { tls: tlsOptions(tls) } : {};
  const single = { ...common, db: url.database, enableOfflineQueue: false, retryStrategy: pauseMs };
  if (url.kind === 'cluster') {
    return new Cluster([...url.hosts], {
      enableOfflineQueue: false,
      clusterRetryStrategy: pauseMs,
      retryDelayOnFailover: 50,
      retryDelayOnClusterDown: 50,
      slotsRefreshTimeout: CONNECT_MS,
      // Certificates name hosts, and a cluster's own list of its nodes may hold addresses only.
      dnsLookup: (address, callback) => callback(undefined, address),
      redisOptions: { ...common, ...security },
    });
  }
  const [first] = url.hosts;
  if (url.kind === 'single') return new Redis({ ...single, ...security, ...first });
  return new Redis({
    ...single,
    ...security,
    sentinels: [...url.hosts],
    name: url.master as string,
    enableTLSForSentinelMode: url.isTls,
    ...(url.isTls && { sentinelTLS: tlsOptions(tls) }),
    sentinelCommandTimeout: 2 * ANSWER_MS,
    sentinelRetryStrategy: pauseMs,
    failoverDetector: true,
    sentinelReconnectStrategy: pauseMs,
  });
}

/** Twice as long each time, and never quite the same: many gateways lose one Redis at one moment. */
function pauseMs(times: number): number {
  const pause = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(times - 1, 10), LONGEST_PAUSE_MS);
  return Math.round(pause * (0.75 + Math.random() / 2));
}

function tlsOptions(tls: RedisSettings['tls']): ConnectionOptions {
  return {
    minVersion: 'TLSv1.2',
    ...(tls?.ca && { ca: tls.ca }),
    ...(tls?.certificate && { cert: tls.certificate, key: tls.privateKey }),
  };
}
