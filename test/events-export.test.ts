import { once } from 'node:events';
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { startCommand } from './support/command.ts';
import { makeQueueState, type QueueState } from './support/queue-state.ts';

let state: QueueState;
beforeAll(async () => {
  state = await makeQueueState();
  await state.add({ body: Buffer.from('{"n":1}'), tried: [{ answer: Buffer.from('thanks') }] });
  await state.add({ state: 'dead', body: Buffer.from([0xff, 0x0a]) });
});

const linesOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('each event is a line, with its payload as bytes and as text, and its attempts', async () => {
  const { exitCode, stdout, stderr } = await state.run('export');
  expect([exitCode, stderr]).toEqual([0, '2 events exported\n']);
  const [dead, delivered] = linesOf(stdout);
  expect(dead).toMatchObject({ state: 'dead', body: { base64: '/wo=' }, log: [{ upstream_status: 503 }] });
  expect(dead.body).not.toHaveProperty('text');
  expect(delivered).toMatchObject({
    body: { base64: Buffer.from('{"n":1}').toString('base64'), text: '{"n":1}' },
    log: [{ attempt: 1, answer: { text: 'thanks' } }],
  });
});

test('filters narrow it', async () => {
  expect(linesOf((await state.run('export', '--state', 'dead')).stdout)).toHaveLength(1);
  const none = await state.run('export', '--route', 'bills');
  expect([none.exitCode, none.stdout, none.stderr]).toEqual([0, '', '0 events exported\n']);
});

test('--output makes a file for its owner only, and overwrites none', async () => {
  const file = state.path('export.jsonl');
  const { exitCode, stdout, stderr } = await state.run('export', '--output', file);
  expect([exitCode, stdout, stderr]).toEqual([0, '', `2 events exported to ${file}\n`]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const text = readFileSync(file, 'utf8');
  expect(linesOf(text)).toHaveLength(2);

  const again = await state.run('export', '--output', file);
  expect([again.exitCode, again.stderr]).toEqual([
    1,
    expect.stringContaining('is there already and is not overwritten'),
  ]);
  expect(readFileSync(file, 'utf8')).toBe(text);
});

test('--output does not write where a link leads', async () => {
  writeFileSync(state.path('precious'), 'precious');
  symlinkSync(state.path('precious'), state.path('link'));
  symlinkSync(state.path('nothing'), state.path('dangling'));
  for (const name of ['link', 'dangling'])
    expect((await state.run('export', '--output', state.path(name))).exitCode).toBe(1);
  expect(readFileSync(state.path('precious'), 'utf8')).toBe('precious');
  expect(existsSync(state.path('nothing'))).toBe(false);
});

let many: QueueState;
test('more events than a page holds are all there, each once', async () => {
  many = await makeQueueState();
  const ids = new Set<string>();
  for (let n = 0; n < 1203; n += 1)
    ids.add((await many.add({ receivedMs: 1_700_000_000_000 + (n >> 1) })).id);
  const lines = linesOf((await many.run('export')).stdout);
  expect(lines).toHaveLength(1203);
  expect(new Set(lines.map(({ id }) => id))).toEqual(ids);
});

test('a reader that has seen enough is no failure', async () => {
  const child = startCommand(['events', 'export', '--config', many.config]);
  child.stderr.resume();
  child.stdout.once('data', () => child.stdout.destroy());
  const [exitCode] = await once(child, 'close');
  expect(exitCode).toBe(0);
});
