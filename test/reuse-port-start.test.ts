import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { runCommand } from './support/command.ts';
import { expectDelivered } from './support/expect.ts';
import { type Gateway, startAndEnd, startGateway } from './support/gateway.ts';
import { post } from './support/sender.ts';
import {
  named,
  processOf,
  SHARES,
  sendEvent,
  sharingConfig,
  startNamingUpstream,
} from './support/shared-port.ts';
import { startSenders } from './support/steady-senders.ts';
import { type Upstream, unusedPort } from './support/upstream.ts';

let upstream: Upstream;
let port: number;

beforeAll(async () => {
  upstream = await startNamingUpstream();
});
beforeEach(async () => {
  port = await unusedPort();
});

const config = (listen: Record<string, unknown> = {}, more: Record<string, unknown> = {}) =>
  sharingConfig(upstream, { port, ...listen }, more);

describe.skipIf(!SHARES)(
  'a second process that cannot start says why, and takes no connection meanwhile',
  () => {
    test.each([
      ['neither shares the port', false, false, 'share the port by listen.reuse_port: true in both'],
      ['only the first shares it', true, false, 'share the port by listen.reuse_port: true in both'],
      ['only the second shares it', false, true, 'all must have listen.reuse_port: true'],
    ])('%s', async (_name, first, second, sentence) => {
      const a = await startGateway(config({ reuse_port: first }), { env: named('a') });
      const { code, output } = await startAndEnd(config({ reuse_port: second }), { env: named('b') });
      expect(code).toBe(1);
      expect(output).toContain(`listen.port: 127.0.0.1:${port} is in use by another process`);
      expect(output).toContain(sentence);
      expect(output).not.toMatch(/^\s+at /m);
      await expectDelivered(a, await post(a, { path: '/plain', body: 'x' }));
      expect(await a.stop()).toBe(0);
    });

    test('the admin port is taken', async () => {
      const adminPort = await unusedPort();
      const a = await startGateway(config(), { env: named('a', adminPort) });
      const senders = startSenders(2, (id) => sendEvent(a, id));
      const { code, output } = await startAndEnd(config(), { env: named('b', adminPort) });
      await senders.stop();
      expect(code).toBe(1);
      expect(output).toContain(
        `admin.port: 127.0.0.1:${adminPort} is in use by another process; give each process an admin port of its own`,
      );
      expect(senders.lost()).toBe(0);
      expect(new Set(senders.answers.map(({ answer }) => processOf(answer)))).toEqual(new Set(['a']));
      expect(await a.stop()).toBe(0);
    });
  },
);

describe.skipIf(!SHARES)('what is per process is warned about', () => {
  const WARNING =
    'listen.reuse_port: processes that share the port share their state alone: ' +
    'N processes let in N times each rate_limit (with driver: redis they share it); ' +
    'limits and metrics are of one process each';

  /** All but those about the test's certificates, which expire soon. */
  const warningsOf = ({ lines }: Gateway): unknown[] =>
    lines
      .filter((line) => line.level === 'warn' && !String(line.warning).startsWith('tls.'))
      .map((line) => line.warning);

  test('at start and by check, once', async () => {
    const gateway = await startGateway(config(), { env: named('a') });
    expect(warningsOf(gateway)).toEqual([WARNING]);
    const { exitCode, stdout } = await runCommand(
      ['check', '--config', join(gateway.folder, 'postern.yaml')],
      named('a'),
    );
    expect(exitCode).toBe(0);
    const printed = stdout.split('\n').filter((line) => !line.startsWith('warning: tls.'));
    expect(printed).toEqual([`warning: ${WARNING}`, expect.stringMatching(/: good, 3 routes/), '']);
    expect(await gateway.stop()).toBe(0);
  });

  test('only what the configuration has; and an admin port that all of them would want', async () => {
    const routes = [{ name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' }];
    const adminPort = await unusedPort();
    const gateway = await startGateway(config({}, { admin: { port: adminPort }, routes }), {
      env: named('a'),
    });
    expect(warningsOf(gateway)).toEqual([
      'listen.reuse_port: processes that share the port share their state alone: limits and metrics are of one process each',
      `admin.port: ${adminPort} in every process that shares the port, so a second cannot start; write port: "\${ADMIN_PORT}" and set it for each`,
    ]);
    expect(await gateway.stop()).toBe(0);
  });

  test('two processes on one state file need no further warning', async () => {
    const a = await startGateway(config(), { env: named('a') });
    const b = await startGateway(config(), { env: named('b'), folder: a.folder });
    for (const gateway of [a, b]) expect(warningsOf(gateway)).toEqual([WARNING]);
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
  });
});

/** Runs before the program: what another system would say. */
const preload = (code: string): Record<string, string> => ({
  NODE_OPTIONS: `--import=data:text/javascript;base64,${Buffer.from(code).toString('base64')}`,
});

describe('a configuration error, 78', () => {
  test.each(['darwin', 'win32'])('on %s, where no port can be shared', async (platform) => {
    const env = {
      ...named('a'),
      ...preload(`Object.defineProperty(process, 'platform', { value: '${platform}' })`),
    };
    const { code, output } = await startAndEnd(config(), { env });
    expect(code).toBe(78);
    expect(output).toMatch(
      new RegExp(
        `postern\\.yaml:\\d+:\\d+ listen\\.reuse_port: several processes cannot share .* ${platform};`,
      ),
    );
  });

  test.each(['ENOTSUP', 'ENOPROTOOPT'])('where the system answers %s', async (code) => {
    const env = {
      ...named('a'),
      ...preload(`
        import net from 'node:net';
        const { listen } = net.Server.prototype;
        net.Server.prototype.listen = function (options, ...rest) {
          if (!options.reusePort) return listen.call(this, options, ...rest);
          const error = Object.assign(new Error('listen ${code}'), { code: '${code}' });
          process.nextTick(() => this.emit('error', error));
          return this;
        };`),
    };
    const ended = await startAndEnd(config(), { env });
    expect(ended.output).toContain(
      `listen.reuse_port: this system cannot share a port among processes (listen ${code}); remove it\n`,
    );
    expect(ended.code).toBe(78);
  });

  test('with port 0, which would be another one for each process', async () => {
    const { code, output } = await startAndEnd(config({ port: 0 }), { env: named('a') });
    expect(code).toBe(78);
    expect(output).toMatch(/postern\.yaml:\d+:\d+ listen\.port: reuse_port shares one port, and 0 gives/);
  });
});

test('the README shows a configuration that shares the port, with an admin port of its own for each process', () => {
  const [, section = ''] = readFileSync('README.md', 'utf8').split('\n## More than one core\n');
  expect(parse(/```yaml\n([\s\S]*?)```/.exec(section)?.[1] ?? '')).toMatchObject({
    listen: { reuse_port: true },
    admin: { port: `\${ADMIN_PORT}` },
  });
  expect(section).toContain('systemctl enable --now postern@9901 postern@9902');
});
