import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from './support/command.ts';
import { expectDelivered, expectRefused } from './support/expect.ts';
import { type Config, type Gateway, startAndEnd, startGateway } from './support/gateway.ts';
import { replaceFile, untilRefused, untilReloaded } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream();
});

const [current, old, older, other] = [newSecret(), newSecret(), newSecret(), newSecret()];
const route = (name: string, reference = `\${dir:codat/}`) => ({
  name,
  path: `/${name}`,
  addresses: 'any',
  upstream: 'app',
  signature: { secrets: [reference] },
});
// The machine may be busy with other tests: nothing here is about that.
const limits = { event_loop_delay: '10s' };
const config = (...routes: Config[]): Config => ({ limits, upstreams: { app: upstream.url }, routes });

const send = (gateway: Gateway, path: string, secret: string) =>
  post(gateway, { path, body: '{}', sign: { secret } });
const placeOf = async (gateway: Gateway, path: string, secret: string) =>
  (await expectDelivered(gateway, await send(gateway, path, secret))).secret;
const expectMismatch = (gateway: Gateway, path: string, secret: string) =>
  expectRefused(gateway, upstream, () => send(gateway, path, secret), 401, 'signature.mismatch');
const run = (gateway: Gateway, ...command: string[]) =>
  runCommand([...command, '--config', join(gateway.folder, 'postern.yaml')]);

describe(`\${dir:PATH/} is the secrets that are named after the route`, () => {
  test('the current one first, then the old ones, and postern routes says which file each is', async () => {
    const files = { 'codat/acme': current, 'codat/acme.old2': older, 'codat/acme.old': `${old}\n` };
    const gateway = await startGateway(config(route('acme')), { files });
    expect(await placeOf(gateway, '/acme', current)).toBe(0);
    expect(await placeOf(gateway, '/acme', old)).toBe(1);
    expect(await placeOf(gateway, '/acme', older)).toBe(2);
    const names = ['acme', 'acme.old', 'acme.old2'].map((name) => join(gateway.folder, 'codat', name));
    const routes = JSON.parse((await run(gateway, 'routes', '--json')).stdout);
    expect(routes[0].secrets).toEqual(names.map((from, secret) => ({ secret, from })));
    const { stdout } = await run(gateway, 'routes');
    for (const [place, name] of names.entries())
      expect(stdout).toMatch(new RegExp(`^acme +${place} +${RegExp.escape(name)}$`, 'm'));
  });

  test('an older one is not that of another route, whose sender could come in here', async () => {
    const files = { 'codat/acme': current, 'codat/acme.old': old };
    const { code, output } = await startAndEnd(config(route('acme'), route('acme.old')), { files });
    expect(code).toBe(78);
    expect(output).toMatch(
      /the file acme\.old of the folder .* is an older secret of the route acme, and that of/,
    );
  });

  test('no other file opens the route, however like its name is, and what is left over is told', async () => {
    const files = {
      'codat/acme': current,
      'codat/acme2': old,
      'codat/acme.new': older,
      'codat/.acme.old': other,
      'codat/acme.old/nested': other,
    };
    const gateway = await startGateway(config(route('acme'), route('acme2')), { files });
    expect(await placeOf(gateway, '/acme', current)).toBe(0);
    expect(await placeOf(gateway, '/acme2', old)).toBe(0);
    for (const secret of [old, older, other]) await expectMismatch(gateway, '/acme', secret);
    await expectMismatch(gateway, '/acme2', current);
    const left = join(gateway.folder, 'codat/acme.new');
    expect(JSON.parse((await run(gateway, 'routes', '--unused', '--json')).stdout).files).toEqual([left]);
    expect((await run(gateway, 'routes')).stdout).toContain(`unused:\n${left}: no route uses it`);
  });
});

test(`\${dir:PATH/*} is all its files, by their names with numbers counted, among other secrets`, async () => {
  const files = { 'keys/key-10': older, 'keys/key-2': old };
  const signature = { secrets: [current, `\${dir:keys/*}`, other] };
  const gateway = await startGateway(config({ ...route('all'), signature }), { files });
  const places = [current, old, older, other].map((secret) => placeOf(gateway, '/all', secret));
  expect(await Promise.all(places)).toEqual([0, 1, 2, 3]);
});

describe('what happens in the folder is taken without a signal', () => {
  test('a secret that is rotated: the new one counts, the old one is let in until its file is gone', async () => {
    const gateway = await startGateway(config(route('acme')), { files: { 'codat/acme': old } });
    const codat = join(gateway.folder, 'codat');
    const still = await startGateway(config(route('acme')), { files: { 'codat/acme': old } });
    await writeFile(join(still.folder, 'codat/.hidden'), current);
    await expectMismatch(gateway, '/acme', current);
    await untilReloaded(gateway, async () => {
      await rename(join(codat, 'acme'), join(codat, 'acme.old'));
      await writeFile(join(codat, 'acme'), current, { mode: 0o600 });
    });
    expect(await placeOf(gateway, '/acme', current)).toBe(0);
    expect(await placeOf(gateway, '/acme', old)).toBe(1);
    await untilReloaded(gateway, () => writeFile(join(codat, 'acme.old2'), older, { mode: 0o600 }));
    expect(await placeOf(gateway, '/acme', older)).toBe(2);
    await untilReloaded(gateway, () => rm(join(codat, 'acme.old')));
    await expectMismatch(gateway, '/acme', old);
    expect(await placeOf(gateway, '/acme', current)).toBe(0);
    // It has looked as often, and found nothing new.
    expect(still.lines.filter(({ msg }) => String(msg).startsWith('configuration '))).toEqual([]);
  });

  test('a file that goes missing is told, and what ran goes on', async () => {
    const gateway = await startGateway(config(route('acme')), {
      files: { 'codat/acme': current, 'codat/other': other },
    });
    const [problem] = await untilRefused(gateway, () => rm(join(gateway.folder, 'codat/acme')));
    expect(problem).toMatch(
      / routes\[0\]\.signature\.secrets\[0\]: the folder \S+ holds no file named acme,/,
    );
    expect(await placeOf(gateway, '/acme', current)).toBe(0);
  });

  test('a folder as Kubernetes mounts it, whose files are switched all at once', async () => {
    const gateway = await startGateway(config(route('acme', `\${dir:mount/}`)), {
      files: { 'mount/..1/acme': old, 'mount/acme': old },
    });
    const mount = join(gateway.folder, 'mount');
    await untilReloaded(gateway, async () => {
      await mkdir(join(mount, '..2'));
      await writeFile(join(mount, '..2/acme'), current, { mode: 0o600 });
      await symlink('..2', join(mount, '..data'));
      await rm(join(mount, 'acme'));
      await symlink('..data/acme', join(mount, 'acme'));
    });
    expect(await placeOf(gateway, '/acme', current)).toBe(0);
    await untilReloaded(gateway, async () => {
      await symlink('..1', join(mount, '..next'));
      await rename(join(mount, '..next'), join(mount, '..data'));
    });
    expect(await placeOf(gateway, '/acme', old)).toBe(0);
    await expectMismatch(gateway, '/acme', current);
  });
});

describe('postern check warns', () => {
  test('of one secret under two names, and of files and folders that others may use', async () => {
    const gateway = await startGateway(config(route('acme'), route('bolinda')), {
      files: { 'codat/acme': current, 'codat/bolinda': current },
    });
    const codat = join(gateway.folder, 'codat');
    await chmod(join(codat, 'bolinda'), 0o604);
    await chmod(codat, 0o777);
    const { warnings } = JSON.parse((await run(gateway, 'check', '--json')).stdout);
    expect(warnings).toEqual(
      expect.arrayContaining([
        'routes[0] acme: shares a signature secret with routes[1] bolinda, so an event for one passes on the other too; give each its own',
        `routes[1].signature.secrets[0]: other users may read ${join(codat, 'bolinda')}; run: chmod o-rwx ${join(codat, 'bolinda')}`,
        `routes[0].signature.secrets[0]: other users may put files into ${codat}; run: chmod o-w ${codat}`,
      ]),
    );
    await replaceFile(gateway, 'codat/bolinda', other);
    await chmod(codat, 0o700);
    const after = JSON.parse((await run(gateway, 'check', '--json')).stdout);
    expect(after.warnings.filter((warning: string) => warning.startsWith('routes'))).toEqual([]);
  });
});
