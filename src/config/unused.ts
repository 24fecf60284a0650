import { join } from 'node:path';
import { settingsOf } from '../clients.ts';
import type { Settings } from '../settings.ts';
import type { FileNotes } from './document.ts';
import type { Inheriting } from './inherit.ts';
import { ownSenderNames } from './senders.ts';

/** What stands in the configuration, or beside it, and has no effect. */
export interface Unused {
  /** Upstreams to which no route leads. */
  readonly upstreams: readonly string[];
  /** Sender profiles of one's own that no route names. */
  readonly senders: readonly string[];
  /** Files of a folder of secrets that no route takes; absolute paths. */
  readonly files: readonly string[];
  /** Keys of `defaults` that no route takes. */
  readonly defaults: readonly string[];
}

export function unusedOf(
  settings: Pick<Settings, 'routes' | 'upstreams'>,
  { source, unusedDefaults }: Inheriting,
  files: FileNotes,
): Unused {
  const named = new Set(settings.routes.map(({ sender }) => sender?.name));
  const lying = [...source.folders.values()].flatMap(({ path, names }) =>
    names.map((name) => join(path, name)),
  );
  return {
    upstreams: unusedUpstreams(settings),
    senders: ownSenderNames(source.folder).filter((name) => !named.has(name)),
    files: lying.filter((file) => !files.has(file)),
    defaults: unusedDefaults,
  };
}

/** A script may choose an upstream too: what it names counts as used. */
export function unusedUpstreams({ routes, upstreams }: Pick<Settings, 'routes' | 'upstreams'>): string[] {
  const used = new Set(routes.flatMap(settingsOf).map(({ upstream }) => upstream.name));
  const scripts = routes.flatMap(({ transform }) => (transform === undefined ? [] : [transform.source]));
  return [...upstreams.keys()].filter(
    (name) => !used.has(name) && !scripts.some((script) => script.includes(`upstream:${name}`)),
  );
}
