import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

const FILES = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
);
/** What a file imports from this project, as paths below src. */
const importsOf = (file: string): string[] =>
  [...readFileSync(join('src', file), 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(([, path]) =>
    normalize(join(dirname(file), path as string)),
  );
const folderOf = (file: string): string =>
  dirname(file) === '.' ? basename(file) : (file.split('/')[0] as string);

/** Files at the root that any folder may use: nouns, and small parts of their own. */
const SHARED = new Set([
  'types.ts',
  'store-types.ts',
  'reasons.ts',
  'settings.ts',
  'sender-profile.ts',
  'tls-settings.ts',
  'state-settings.ts',
  'signature-settings.ts',
  'client-settings.ts',
  'clients.ts',
  'events.ts',
  'lane.ts',
  'quarantined.ts',
  'fields.ts',
  'addresses.ts',
  'compare.ts',
  'body.ts',
  'deadline.ts',
  'der.ts',
  'message.ts',
  'proof.ts',
  'pulse.ts',
]);

describe('imports point down', () => {
  test('there is something to look at', () => expect(FILES.length).toBeGreaterThan(50));

  test('the nouns know nothing but each other', () => {
    const nouns = [
      'types.ts',
      'store-types.ts',
      'reasons.ts',
      'settings.ts',
      'sender-profile.ts',
      'tls-settings.ts',
      'state-settings.ts',
      'signature-settings.ts',
      'client-settings.ts',
      'events.ts',
      'quarantined.ts',
      'fields.ts',
    ];
    for (const file of [...nouns, 'clients.ts', 'compare.ts', 'body.ts', 'lane.ts', 'message.ts']) {
      expect([file, importsOf(file).filter((path) => !nouns.includes(path))]).toEqual([file, []]);
    }
  });

  test.each(FILES.filter((file) => dirname(file) !== '.' && folderOf(file) !== 'cli'))(
    '%s uses its own folder and the shared nouns only',
    (file) => {
      const signatureSchemes = (path: string) =>
        file === 'check/signature.ts' && folderOf(path) === 'signature';
      const strangers = importsOf(file).filter(
        (path) => folderOf(path) !== folderOf(file) && !SHARED.has(path) && !signatureSchemes(path),
      );
      expect(strangers).toEqual([]);
    },
  );

  test('only the command line reads the configuration and runs the gateway', () => {
    const importers = (target: string) =>
      FILES.filter((file) => importsOf(file).includes(target)).map(folderOf);
    expect(new Set(importers('config/load.ts'))).toEqual(new Set(['cli']));
    expect(new Set(importers('build.ts'))).toEqual(new Set(['cli']));
    expect(importers('main.ts')).toEqual([]);
  });

  test('the life of a request sees no socket and no node:http', () => {
    for (const file of [
      'gateway.ts',
      'forwarding.ts',
      'request.ts',
      'types.ts',
      'headers.ts',
      'claim.ts',
      'build.ts',
    ]) {
      expect(readFileSync(join('src', file), 'utf8')).not.toMatch(/from 'node:(?:http|https|net|tls)'/);
    }
  });
});
