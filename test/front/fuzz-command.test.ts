import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';

/** `npm run fuzz` as a process of its own; `signalMs`: SIGINT after so long. */
async function run(args: string[], signalMs?: number): Promise<{ code: unknown; output: string }> {
  // Not this test runner's environment: it is a program of its own.
  const env = { PATH: process.env.PATH };
  const child = spawn(process.execPath, ['test/fuzz.ts', ...args], { env });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      // Only now it listens for signals.
      if (signalMs !== undefined && text.startsWith('seed')) setTimeout(() => child.kill('SIGINT'), signalMs);
    });
  const [code] = await once(child, 'close');
  return { code, output };
}

describe('npm run fuzz', () => {
  test('ends with 0 when its time is over and nothing was found', async () => {
    const { code, output } = await run(['--minutes', '0.02', '--seed', '5']);
    expect(output).toMatch(
      /^seed 5, 0\.02 minutes\n0\.0 min: [1-9]\d+ cases, [2-9]\d\.\d% accepted, \d+ cases\/s\n$/,
    );
    expect(code).toBe(0);
  });

  test('with --door has made-up senders talk to a gateway, and ends with 0 when nothing was found', async () => {
    const { code, output } = await run(['--door', '--minutes', '0.05', '--seed', '5']);
    expect(output).toMatch(
      /^seed 5, 0\.05 minutes\n0\.\d min: [1-9]\d* runs, [1-9]\d+ requests, [2-9]\d\.\d% delivered, \d+ requests\/s\n$/,
    );
    expect(code).toBe(0);
  });

  test('ends with a summary on SIGINT', async () => {
    const { code, output } = await run(['--minutes', '5'], 300);
    expect(output).toMatch(/\ninterrupted: 0\.0 min: [1-9]\d+ cases/);
    expect(code).toBe(0);
  });

  test.each([
    ['--minutes', '0'],
    ['--minutes', '-1'],
    ['--minutes', 'two'],
    ['--minutes'],
    ['--seed', '1.5'],
    ['--seed', '2147483648'],
    ['--hours', '1'],
    ['--path', '1:2'],
    ['--door', '--path', '1:2'],
    ['--door', '--seed', '1', '--path', 'a'],
    ['2'],
  ])('ends with 2 and how it is used: %s %s', async (...args) => {
    const { code, output } = await run(args.filter((arg) => arg !== undefined));
    expect(output).toMatch(/^Usage: /);
    expect(code).toBe(2);
  });
});
