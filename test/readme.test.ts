import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../src/config/load.ts';
import { configurationTable } from '../src/config/table.ts';
import { answersTable } from './support/readme.ts';

const README = readFileSync('README.md', 'utf8');

/** What stands between `<!-- name -->` and `<!-- /name -->`. UPDATE_README=1 writes it anew. */
function block(name: string, content: string): string | undefined {
  const pattern = new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)<!-- /${name} -->`);
  if (process.env.UPDATE_README !== undefined) {
    const text = readFileSync('README.md', 'utf8');
    writeFileSync(
      'README.md',
      text.replace(pattern, () => `<!-- ${name} -->\n\n${content}\n\n<!-- /${name} -->`),
    );
  }
  return pattern.exec(readFileSync('README.md', 'utf8'))?.[1]?.trim();
}

test('the first screen shows the two commands', () => {
  const screen = README.split('\n').slice(0, 25).join('\n');
  expect(screen).toContain('npm ci && npm run demo');
  expect(screen).toContain('npm cit');
});

test('the configuration table is that of the schema', () => {
  expect(block('configuration', configurationTable().trim())).toBe(configurationTable().trim());
});

test('the answers table is what each sender gets', () => {
  expect(block('answers', answersTable())).toBe(answersTable());
});

test('the ten lines for Codat are a configuration that loads', () => {
  const yaml = /```yaml\n([\s\S]*?)```/.exec(README)?.[1] ?? '';
  expect(yaml.trim().split('\n')).toHaveLength(10);
  const folder = mkdtempSync(join(tmpdir(), 'postern-readme-'));
  try {
    mkdirSync(join(folder, 'config'));
    writeFileSync(join(folder, 'config/postern.yaml'), yaml);
    execFileSync(process.execPath, ['src/main.ts', 'certs', '--out', join(folder, 'certs')]);
    const env = {
      CODAT_SECRET: `whsec_${Buffer.alloc(24, 7).toString('base64')}`,
      CODAT_BEARER: 'a'.repeat(32),
    };
    const { settings, warnings } = loadConfig(join(folder, 'config/postern.yaml'), env);
    expect(settings.routes.map(({ name, addresses }) => [name, addresses])).toEqual([
      ['codat-events', ['4.159.114.108', '20.117.190.191']],
    ]);
    expect(warnings).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('SECURITY.md names tests that are there, and no other way to report than a private one', () => {
  const text = readFileSync('SECURITY.md', 'utf8');
  const named = [...new Set(text.match(/test\/[\w-]+\.test\.ts/g))];
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((file) => !existsSync(file))).toEqual([]);
  expect(text).toContain('security advisories');
  expect(text).not.toMatch(/\w@\w/);
  expect(text).toContain('\n| area | tried | passed | command |\n');
});

test('every command in the table exists, and every command is in the table', () => {
  const help = execFileSync(process.execPath, ['src/main.ts', '--help'], { encoding: 'utf8' });
  const commands = [...help.matchAll(/^ {2}([a-z]+)(?: [[<][a-z]+[\]>])* {2,}\S/gm)]
    .map(([, name]) => name)
    .filter((name) => name !== 'help');
  expect(commands.length).toBeGreaterThan(5);
  const listed = [...README.matchAll(/^\| `postern ([a-z]+)/gm)].map(([, name]) => name);
  expect(listed.sort()).toEqual(commands.sort());
});
