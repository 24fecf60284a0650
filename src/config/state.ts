import { resolve } from 'node:path';
import type { Settings } from '../settings.ts';
import { encryptionKey } from './encryption-key.ts';
import { either, list, readSection, section } from './issues.ts';
import type { Report } from './problems.ts';
import { duration, size, text, word } from './values.ts';

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

export const stateSchema = section(
  {
    driver: word(['sqlite', 'memory'])
      .prefault('sqlite')
      .describe('Where events are kept and remembered: sqlite survives a restart, memory does not.'),
    path: text('the path of a file')
      .prefault('../data/postern.db')
      .describe('The database file of the driver sqlite.'),
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
  'a mapping with driver, path, encryption_key and retention',
);

/** What a driver without a file has no use for. */
const OF_SQLITE = ['path', 'encryption_key'] as const;

/** Where what outlives a request is kept. */
export function loadState(
  root: Readonly<Record<string, unknown>>,
  report: Report,
): Settings['state'] | undefined {
  const section = readSection(stateSchema, root.state === undefined ? {} : root.state, ['state'], report);
  const { driver, path, encryption_key: keys, retention } = section.values;
  if (driver === 'memory') {
    for (const key of OF_SQLITE) {
      if (Object.hasOwn(Object(root.state), key))
        report.add(['state', key], `memory keeps no file; remove ${key}, or write driver: sqlite`, 'key');
    }
  }
  if (driver === undefined || path === undefined || retention === undefined) return undefined;
  const kept = {
    retention: { deliveredMs: retention.delivered, deadMs: retention.dead, sizeBytes: retention.size },
  };
  if (driver === 'memory') return { driver, ...kept };
  return {
    driver,
    path: resolve(report.source.folder, path),
    keys: keys === undefined ? [] : [keys].flat(),
    ...kept,
  };
}
