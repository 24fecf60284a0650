import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isInContext, lastOf, readDockerfile } from './support/image.ts';
import { TEMPLATE, UNIT, valuesOf } from './support/unit.ts';

const HAS_SYSTEMD = spawnSync('systemd-analyze', ['--version']).status === 0;
/** What systemd-analyze says of a unit without any restriction is 9.6; of this one 1.4. */
const MOST_EXPOSURE = 2;

describe('the Dockerfile', () => {
  const stages = readDockerfile();
  const all = stages.flat();

  test('copies only what is there and what .dockerignore lets through', () => {
    const copied = all
      .filter(({ word, text }) => word === 'COPY' && !text.startsWith('--from='))
      .flatMap(({ text }) => text.split(' ').slice(0, -1));
    expect(copied).toEqual(
      expect.arrayContaining(['package.json', 'package-lock.json', 'src', 'config/senders']),
    );
    expect(copied.filter((name) => !existsSync(name) || !isInContext(name))).toEqual([]);
  });

  test('shows the build no secret: neither .env, certificates and data, nor what a checkout has beside the program', () => {
    for (const name of [
      '.env',
      '.git',
      'certs/server.key',
      'data/postern.db',
      'config/postern.yaml',
      'node_modules',
    ])
      expect(isInContext(name), name).toBe(false);
  });

  test('builds on a named version of Node, the same in both stages', () => {
    const bases = stages.map(([from]) => from?.text.split(' ')[0] ?? '');
    expect(bases).toHaveLength(2);
    expect(new Set(bases).size).toBe(1);
    expect(bases[0]).toMatch(/^node:\d+[\w.-]*$/);
  });

  test('runs as another user than root, and says when the gateway is well', () => {
    expect(lastOf('USER')).toBe('node');
    const words = stages.at(-1)?.map(({ word }) => word) ?? [];
    // Nothing is made or copied as that user: the program is root's, and cannot be changed by who runs it.
    expect(words.lastIndexOf('COPY')).toBeLessThan(words.indexOf('USER'));
    expect(words.lastIndexOf('RUN')).toBeLessThan(words.indexOf('USER'));
    expect(words).toContain('HEALTHCHECK');
    expect(lastOf('ENTRYPOINT')).toMatch(/^\["node", "--permission", /);
  });
});

describe('the systemd unit', () => {
  test('starts Node itself under its permission model, with the flags of the image in the places of the unit', () => {
    const [start = ''] = valuesOf('ExecStart');
    expect(start).toMatch(/^\/usr\/bin\/node --permission /);
    const flags = (text: string): string[] => text.match(/--[a-z-]+(?==|\b)/g) ?? [];
    const own = [...new Set(flags(lastOf('ENTRYPOINT') + lastOf('CMD')))].sort();
    expect([...new Set(flags(start))].sort()).toEqual(own);
  });

  test('keeps capabilities, namespaces and the rest of the system from the process, but lets Node compile', () => {
    expect(valuesOf('CapabilityBoundingSet')).toEqual(['']);
    expect(valuesOf('SystemCallFilter')).toEqual(['@system-service', '~@privileged @resources']);
    expect(valuesOf('MemoryDenyWriteExecute')).toEqual([]);
    expect(valuesOf('UMask')).toEqual(['0077']);
  });

  test('as a template gives each instance its admin port, and all of them one user', () => {
    expect(valuesOf('Environment', TEMPLATE)).toEqual(['ADMIN_PORT=%i']);
    expect(valuesOf('User', TEMPLATE)).toEqual(['postern']);
    expect(valuesOf('DynamicUser', TEMPLATE)).toEqual([]);
  });

  test.skipIf(!HAS_SYSTEMD).each([
    ['postern.service', UNIT],
    ['postern@.service', TEMPLATE],
  ])('is one that systemd takes, and finds little to say against: %s', (name, unit) => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-unit-'));
    try {
      const file = join(folder, name);
      // There may be no Node at /usr/bin/node here.
      writeFileSync(file, unit.replace('/usr/bin/node', process.execPath));
      const analyze = (...args: string[]) =>
        spawnSync('systemd-analyze', [...args, file], { encoding: 'utf8' });
      const verified = analyze('verify');
      // It also speaks of the machine's own units.
      expect(
        (verified.stdout + verified.stderr).split('\n').filter((line) => line.includes('postern')),
      ).toEqual([]);
      const judged = analyze('security', '--offline=true', `--threshold=${MOST_EXPOSURE * 10}`, '--no-pager');
      expect([judged.status, judged.stdout]).toEqual([0, expect.stringContaining('Overall exposure level')]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
