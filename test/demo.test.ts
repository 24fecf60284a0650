import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { startGateway } from '../src/cli/demo/gateway.ts';
import { runCommand, startCommand } from './support/command.ts';

const root = mkdtempSync(join(tmpdir(), 'postern-demo-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A folder of a test's own, as the system's temporary folder. */
function temporaryFolder(): string {
  return mkdtempSync(join(root, 'tmp-'));
}

describe('demo --once', () => {
  it('sends every kind of event, finds all as expected, in plain text, and leaves nothing behind', async () => {
    const TMPDIR = temporaryFolder();
    const { exitCode, stdout, stderr } = await runCommand(['demo', '--once'], { TMPDIR });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(/^This starts Postern, a gateway for webhooks/);
    expect(stdout).not.toContain('\u001b');
    expect(stdout).toMatch(/(\d+) events sent, \1 as expected, 0 not\./);
    const rows = stdout.split('\n').filter((line) => / (ok|NOT AS EXPECTED)$/.test(line));
    expect(rows.map((row) => row.slice(43).replaceAll(/ {2,}/g, ' | '))).toEqual([
      ...Array<string>(5).fill('200 | delivered | /events | accepted | ok'),
      '200 | duplicate | - | accepted | ok',
      ...Array<string>(2).fill('200 | delivered | /alerts | accepted | ok'),
      ...Array<string>(2).fill('401 | signature.mismatch | - | retries in 5 s | ok'),
      '401 | signature.stale | - | retries in 5 s | ok',
      '401 | signature.missing | - | retries in 5 s | ok',
      '401 | authorization.wrong | - | retries in 5 s | ok',
      '401 | authorization.missing | - | retries in 5 s | ok',
      '401 | authorization.wrong | - | gives up | ok',
      '403 | certificate.missing | - | retries in 5 s | ok',
      '403 | certificate.untrusted | - | retries in 5 s | ok',
      '403 | address.not_allowed | - | retries in 5 s | ok',
      '404 | route.not_found | - | retries in 5 s | ok',
      '400 | target.ambiguous | - | retries in 5 s | ok',
      '405 | route.method_not_allowed | - | retries in 5 s | ok',
      '413 | body.too_large | - | retries in 5 s | ok',
      '200 | delivered | /events | accepted | ok',
      expect.stringMatching(/^429 Retry-After (60|59) \| rate\.exceeded \| - \| retries in 1 m \| ok$/),
      '500 | upstream.failed | /failing/events | retries in 5 s | ok',
      expect.stringMatching(/^503.* \| upstream\.failed \| \/failing\/alerts \| retries in \d+ s \| ok$/),
      expect.stringMatching(/^502.* \| upstream\.unreachable \| - \| retries in \d+ s \| ok$/),
    ]);
    expect(readdirSync(TMPDIR)).toEqual([]);
  });
});

describe('demo', () => {
  it('stays up, takes what its own instructions send, and goes away on SIGTERM', async () => {
    const TMPDIR = temporaryFolder();
    const demo = startCommand(['demo'], { TMPDIR });
    const lines = follow(demo.stdout);
    const told = await lines.until('What it notes from now on:');
    const found = (pattern: RegExp) => pattern.exec(told)?.[1] ?? '';
    const url = found(/send (https:\S+\/codat\/events) /);
    const args = [url, '--ca', found(/--ca (\S+)/), '--bundle', found(/--bundle (\S+)/)];
    const header = ['--header', found(/--header '([^']+)'/), '--event', found(/--event (\S+)/)];
    const POSTERN_SEND_SECRET = found(/export POSTERN_SEND_SECRET=(\S+)/);
    expect(await runCommand(['send', ...args, ...header], { POSTERN_SEND_SECRET })).toMatchObject({
      exitCode: 0,
    });
    await lines.until('  POST /codat/events  200  delivered');

    demo.kill('SIGTERM');
    await once(demo, 'close');
    expect(demo.exitCode).toBe(0);
    expect(readdirSync(TMPDIR)).toEqual([]);
    expect(await refusal(Number(new URL(url).port))).toBe('ECONNREFUSED');
  });

  it('goes away on SIGINT in the middle of its work, with exit code 1', async () => {
    const TMPDIR = temporaryFolder();
    const demo = startCommand(['demo', '--once'], { TMPDIR });
    const errors = follow(demo.stderr);
    await follow(demo.stdout).until('This starts Postern');
    demo.kill('SIGINT');
    await once(demo, 'close');
    expect(demo.exitCode).toBe(1);
    expect(errors.text()).toBe('The demo was interrupted.\n');
    expect(readdirSync(TMPDIR)).toEqual([]);
  });

  it('says what the gateway printed when it does not start', async () => {
    const config = join(temporaryFolder(), 'postern.yaml');
    writeFileSync(config, 'listne: {}\n');
    const start = startGateway(config, {}, new AbortController().signal);
    await expect(start).rejects.toThrow(/^The gateway did not start:\n[\s\S]*listne/);
  });
});

/** Reads a process's output line by line. */
function follow(stream: Readable): { until(line: string): Promise<string>; text(): string } {
  let text = '';
  const reader = createInterface({ input: stream });
  reader.on('line', (line) => {
    text += `${line}\n`;
  });
  return {
    text: () => text,
    async until(line) {
      while (!text.includes(line)) await once(reader, 'line');
      return text;
    },
  };
}

/** Why nothing can be connected to at this port. */
async function refusal(port: number): Promise<unknown> {
  const socket = connect(port, '127.0.0.1');
  const [error] = await once(socket, 'error');
  return error.code;
}
