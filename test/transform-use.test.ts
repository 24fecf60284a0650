import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { runCommand } from './support/command.ts';
import { expectDelivered } from './support/expect.ts';
import { startAndEnd, startGateway } from './support/gateway.ts';
import { configText, replaceFile, untilReloaded } from './support/reload.ts';
import { post } from './support/sender.ts';
import { startUpstream } from './support/upstream.ts';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'postern-transform-'));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const script = (code: string): string => fileOf('script.js', `function handler(webhook) {\n  ${code}\n}\n`);
const MESSAGE = fileOf('message.json', '{"eventType":"a.b","n":1}');
const transform = (code: string, ...more: string[]) =>
  runCommand(['transform', script(code), '--file', MESSAGE, ...more]);

describe('postern transform', () => {
  test('shows what a script changes', async () => {
    const code = 'webhook.method = "PUT"; webhook.payload.n = 2; webhook.url = "/x"; return webhook;';
    expect(await transform(code)).toEqual({
      exitCode: 0,
      stdout: '- POST\n+ PUT\n- /\n+ /x\n  {\n    "eventType": "a.b",\n-   "n": 1\n+   "n": 2\n  }\n',
      stderr: '',
    });
  });

  test('says what it leaves and what it cancels', async () => {
    expect((await transform('return webhook;')).stdout).toContain('the bytes received are delivered');
    expect((await transform('webhook.cancel = true; return webhook;')).stdout).toMatch(/^cancelled/);
    expect(JSON.parse((await transform('webhook.cancel = true; return webhook;', '--json')).stdout)).toEqual({
      cancel: true,
    });
  });

  test('takes a sample event', async () => {
    const { exitCode, stdout } = await runCommand([
      'transform',
      script('webhook.payload = webhook.payload.eventType; return webhook;'),
      '--event',
      'read.completed',
    ]);
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('+ "read.completed"')]);
  });

  test.each([
    ['throw new Error("no");', 1, /^transform\.failed: Error: no \(.*script\.js:2:\d+\)\n$/],
    ['for (;;);', 1, /^transform\.failed: it ran longer than 50 ms and was ended\n$/],
    ['return webhook; }', 78, /script\.js:3:1 SyntaxError/],
  ])('ends with a sentence where the script fails: %s', async (code, exitCode, stderr) => {
    const result = await transform(code);
    expect([result.exitCode, result.stdout]).toEqual([exitCode, '']);
    expect(result.stderr).toMatch(stderr);
  });

  test('asks for one message', async () => {
    expect((await runCommand(['transform', script('')])).exitCode).toBe(2);
    expect((await transform('', '--event', 'read.completed')).exitCode).toBe(2);
  });
});

const config = (url: string, more: object = {}) => ({
  upstreams: { app: url },
  routes: [{ name: 'a', path: '/a', addresses: 'any', upstream: 'app', ...more }],
});
const WITH = { transform: 'transforms/a.js' };

describe('check and the start', () => {
  test.each([
    ['const handler = 1;', /transforms\/a\.js:1:1 .*defines no function handler/],
    ['function handler(webhook) {\n  return webhook;\n}\n}', /transforms\/a\.js:4:1 .*SyntaxError/],
    ['for (;;);', /transforms\/a\.js:1:1 .*ran longer than/],
    ['\n  nope();', /transforms\/a\.js:2:\d+ .*nope/],
  ])('refuse a script that cannot be used: %j', async (text, problem) => {
    const { code, output } = await startAndEnd(config('http://127.0.0.1:9', WITH), {
      files: { 'transforms/a.js': text },
    });
    expect(code).toBe(78);
    expect(output).toMatch(problem);
    expect(output.trim().split('\n')).toHaveLength(1);
  });
});

describe("under Node's permission flags", () => {
  const files = { 'transforms/a.js': 'function handler(webhook) { webhook.payload = 1; return webhook; }' };
  const flags = ['--permission', '--allow-net', '--allow-fs-read=*', '--allow-fs-write=*'];
  const command =
    (...more: string[]) =>
    (file: string): string[] => [...flags, ...more, MAIN, 'start', '--config', file];

  test('a transformation without --allow-worker ends the start with a sentence that names it', async () => {
    const { code, output } = await startAndEnd(config('http://127.0.0.1:9', WITH), {
      files,
      command: command(),
    });
    expect(code).toBe(78);
    expect(output).toMatch(/postern\.yaml: a transformation runs in a thread of its own, .*--allow-worker/);
  });

  test('with it the thread starts, and goes on after reloads though no other may be started', async () => {
    const upstream = await startUpstream();
    const tell = `process.on('SIGUSR2', () => console.log(JSON.stringify({ msg: 'may', worker: process.permission.has('worker') })));`;
    const gateway = await startGateway(config(upstream.url, WITH), {
      files,
      preload: fileOf('tell.mjs', tell),
      command: command('--allow-worker'),
    });
    const send = () => post(gateway, { path: '/a', body: '{}' });
    await expectDelivered(gateway, await send());
    expect(upstream.requests.at(-1)?.body.toString()).toBe('1');
    gateway.signal('SIGUSR2');
    expect(await gateway.line(({ msg }) => msg === 'may')).toMatchObject({ worker: false });
    await untilReloaded(gateway, () =>
      replaceFile(gateway, 'postern.yaml', configText(config(upstream.url))),
    );
    await expectDelivered(gateway, await send());
    expect(upstream.requests.at(-1)?.body.toString()).toBe('{}');
    await untilReloaded(gateway, () =>
      replaceFile(gateway, 'postern.yaml', configText(config(upstream.url, WITH))),
    );
    await expectDelivered(gateway, await send());
    expect(upstream.requests.at(-1)?.body.toString()).toBe('1');
    expect(await gateway.stop()).toBe(0);
  });
});
