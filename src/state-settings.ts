import type { KeyObject } from 'node:crypto';
import type { Retention } from './events.ts';
import type { ClientTls } from './tls-settings.ts';

/** Where what outlives a request is kept. */
export type StateSettings = { readonly retention: Retention } & (
  | { readonly driver: 'memory' }
  | { readonly driver: 'sqlite'; readonly path: string; readonly keys: readonly EncryptionKey[] }
  | RedisSettings
);

export interface RedisSettings {
  readonly driver: 'redis';
  readonly url: RedisUrl;
  /** In front of every key; all keys of one prefix are in one slot of a cluster. */
  readonly prefix: string;
  readonly tls: ClientTls | undefined;
  readonly keys: readonly EncryptionKey[];
}

/** `redis:`, `rediss:`, and with `+sentinel` or `+cluster` behind that the same through those. */
export interface RedisUrl {
  readonly kind: 'single' | 'sentinel' | 'cluster';
  readonly isTls: boolean;
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  /** The name of the master that the sentinels watch. */
  readonly master: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

/** AES-256, 32 bytes. The first of a list encrypts, all decrypt. */
export interface EncryptionKey {
  /** The first 8 hexadecimal digits of the key's SHA-256: which one an event was encrypted with. */
  readonly id: string;
  readonly key: KeyObject;
}
