import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, test } from 'vitest';
import { makeQueueState, type QueueState } from './support/queue-state.ts';

let state: QueueState;
let file: string;
beforeEach(async () => {
  state = await makeQueueState();
  file = state.path('audit.jsonl');
});

const audit = (...words: string[]) => state.run('audit', '--file', file, ...words);
const text = (): string => readFileSync(file, 'utf8');
const lines = () =>
  text()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('postern events audit', () => {
  test('appends a line for each event that is delivered or dead, in the order in which they finished', async () => {
    const delivered = await state.add({ client: 'acme', receivedMs: Date.now() + 5000 });
    await state.add({ state: 'waiting' });
    const dead = await state.add({
      state: 'dead',
      route: 'bills',
      messageId: undefined,
      eventType: undefined,
      certificate: undefined,
      secret: undefined,
      receivedMs: 1_700_000_000_000,
      tried: [{ status: undefined, reason: 'upstream.timeout' }],
    });
    await state.add({ state: 'delivering' });
    const { exitCode, stdout, stderr } = await audit();
    expect([exitCode, stderr]).toEqual([0, '']);
    const [first, second, ...others] = lines();
    expect(others).toEqual([]);
    const time = expect.stringMatching(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(first).toEqual({
      n: 1,
      id: delivered.id,
      message_id: delivered.messageId,
      route: 'orders',
      client: 'acme',
      event_type: 'orders.made',
      body_sha256: delivered.bodySha256,
      certificate: delivered.certificate,
      address: '192.0.2.7',
      secret: 0,
      verdict: 'delivered',
      upstream_status: 200,
      attempts: 1,
      received: new Date(delivered.receivedMs).toISOString(),
      finished: time,
      previous: '0'.repeat(64),
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(second).toEqual({
      n: 2,
      id: dead.id,
      route: 'bills',
      body_sha256: dead.bodySha256,
      address: '192.0.2.7',
      verdict: 'dead',
      reason: 'upstream.timeout',
      attempts: 1,
      received: '2023-11-14T22:13:20.000Z',
      finished: time,
      previous: first.hash,
      hash: expect.any(String),
    });
    expect(stdout).toBe(`${file}: 2 lines appended, 2 in all; head ${second.hash}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test('hashes each line as it is without its member hash, so that any tool can check it', async () => {
    await state.add({ eventType: 'caf\u00e9 \u001b \u009b' });
    await audit();
    const line = text().trimEnd();
    const { hash } = JSON.parse(line);
    const without = line.replace(`,"hash":"${hash}"`, '');
    expect(createHash('sha256').update(without).digest('hex')).toBe(hash);
  });

  test('goes on where it ended, and adds nothing twice', async () => {
    await state.add();
    await audit();
    const before = text();
    expect((await audit()).stdout).toMatch(/: 0 lines appended, 1 in all; head [0-9a-f]{64}\n$/);
    expect(text()).toBe(before);
    await state.add({ state: 'dead' });
    const { stdout } = await audit('--json');
    expect(text().startsWith(before)).toBe(true);
    expect(lines().map(({ n }) => n)).toEqual([1, 2]);
    expect(JSON.parse(stdout)).toEqual({ appended: 1, lines: 2, head: lines()[1].hash, unreadable: 0 });
    expect((await audit('--verify')).exitCode).toBe(0);
  });

  test('has a line for each end of an event that was retried after it was dead', async () => {
    const event = await state.add({ state: 'dead' });
    await audit();
    await state.run('retry', event.id);
    expect((await audit()).stdout).toContain('0 lines appended');
    await state.settle(event, 'delivered');
    await audit();
    expect(lines().map(({ id, verdict, attempts }) => [id, verdict, attempts])).toEqual([
      [event.id, 'dead', 1],
      [event.id, 'delivered', 2],
    ]);
    expect((await audit('--verify')).exitCode).toBe(0);
  });

  test('takes events of one route only where that is said', async () => {
    await state.add();
    const bill = await state.add({ route: 'bills' });
    await audit('--route', 'bills');
    expect(lines().map(({ id }) => id)).toEqual([bill.id]);
    expect((await audit('--verify', '--route', 'bills')).exitCode).toBe(0);
  });

  test('pages through more than it holds at once', async () => {
    for (let n = 0; n < 620; n += 1) await state.add();
    expect((await audit()).stdout).toContain('620 lines appended, 620 in all');
    const { exitCode, stdout } = await audit('--verify');
    expect([exitCode, stdout]).toEqual([
      0,
      expect.stringMatching(/: 620 lines, each as it was written, 620 events of the state compared; head /),
    ]);
  });
});

describe('a torn last line, as a crash leaves it,', () => {
  test.each([1, 2, 30, 300])('is cut off and written again: %i bytes of it', async (bytes) => {
    await state.add();
    await audit();
    const first = text().length;
    await state.add();
    await audit();
    const whole = text();
    truncateSync(file, first + bytes);
    const verified = await audit('--verify');
    expect([verified.exitCode, verified.stdout]).toEqual([
      1,
      expect.stringContaining(`${file}:2: the last line has no end`),
    ]);
    const { exitCode, stderr } = await audit();
    expect([exitCode, stderr]).toEqual([
      0,
      `${file}:2: the last line was torn (${bytes} byte${bytes === 1 ? '' : 's'} without an end) and was cut off: an earlier run was interrupted\n`,
    ]);
    expect(text()).toBe(whole);
  });

  test('gets its end where that is all that is missing, though its event is gone from the state', async () => {
    const event = await state.add({ state: 'dead' });
    await audit();
    const whole = text();
    await state.run('discard', event.id);
    truncateSync(file, whole.length - 1);
    const { exitCode, stderr } = await audit();
    expect([exitCode, stderr]).toEqual([
      0,
      expect.stringContaining(':1: the last line had no end, which was added'),
    ]);
    expect(text()).toBe(whole);
  });
});

describe('a file that is not as it was left is never appended to:', () => {
  test('an altered one', async () => {
    await state.add();
    await state.add();
    await audit();
    const altered = text().replace('192.0.2.7', '192.0.2.8');
    writeFileSync(file, altered);
    await state.add();
    const { exitCode, stdout, stderr } = await audit();
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toBe(
      `${file}:1: this line was altered: its hash is not that of its text; nothing was appended: --verify tells all that is wrong\n`,
    );
    expect(text()).toBe(altered);
  });

  test.each([
    ['no line end', 'a shopping list'],
    ['lines of its own', 'milk\nbread\n'],
    ['JSON of its own', '{"n":1}\n'],
    ['a line end before everything', '\n'],
  ])('one of something else, with %s', async (_what, content) => {
    await state.add();
    writeFileSync(file, content, { mode: 0o600 });
    const { exitCode, stderr } = await audit();
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(/^\S+audit\.jsonl(?::1)?: this is no (?:line|file) of an audit/),
    ]);
    expect(text()).toBe(content);
  });

  test('one with something else behind its last line, and how to cut that off', async () => {
    await state.add();
    await audit();
    const whole = text();
    appendFileSync(file, '\0\0\0\0');
    const { exitCode, stderr } = await audit();
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`truncate -s ${whole.length} ${file}`)]);
    expect(text()).toBe(`${whole}\0\0\0\0`);
  });

  test('one with a line that is longer than any of ours, and more behind it', async () => {
    await state.add();
    await audit();
    const content = `${text()}{"n":2,${'x'.repeat(3_000_000)}\n${text()}`;
    writeFileSync(file, content);
    const { exitCode, stderr } = await audit();
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(':2: this is no line of an audit')]);
    expect(text()).toBe(content);
  });

  test('a link, a device, a folder, a place that is not there', async () => {
    await state.add();
    writeFileSync(state.path('precious'), '');
    symlinkSync(state.path('precious'), state.path('link'));
    mkdirSync(state.path('folder'));
    const cases: [string, string][] = [
      [state.path('link'), 'this is a symbolic link, which somebody could point elsewhere'],
      ['/dev/null', 'this is no regular file'],
      [state.path('folder'), 'this is a folder'],
      [state.path('nowhere/audit.jsonl'), 'there is no such file, or no such folder'],
    ];
    for (const [path, sentence] of cases) {
      const { exitCode, stderr } = await state.run('audit', '--file', path);
      expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`${path}: ${sentence}`)]);
    }
    expect(readFileSync(state.path('precious'), 'utf8')).toBe('');
  });

  test('one that another run writes to at this moment', async () => {
    await state.add();
    const other = new DatabaseSync(`${file}-lock`);
    other.exec('BEGIN EXCLUSIVE');
    const refused = await audit();
    expect([refused.exitCode, refused.stderr]).toEqual([
      1,
      expect.stringContaining('another `postern events audit` writes to it now'),
    ]);
    expect(text()).toBe('');
    other.close();
    expect((await audit()).exitCode).toBe(0);
  });
});

test('runs at the same time leave one whole chain', async () => {
  for (let n = 0; n < 40; n += 1) await state.add();
  const apart = () => state.runApart('audit', '--file', file);
  const runs = await Promise.all([apart(), apart(), apart(), apart()]);
  for (const { exitCode, stderr } of runs)
    if (exitCode !== 0) expect(stderr).toContain('another `postern events audit` writes to it now');
  expect((await audit()).exitCode).toBe(0);
  expect(lines()).toHaveLength(40);
  expect((await audit('--verify')).exitCode).toBe(0);
});

test('a file that others may write to is told', async () => {
  await state.add();
  await audit();
  chmodSync(file, 0o662);
  expect((await audit()).stderr).toBe(
    `note: ${file}: others than its owner may write to it; chmod 600 keeps them out\n`,
  );
});

test('wrong use ends with exit code 2 and makes no file', async () => {
  await state.add();
  const cases: [string[], string][] = [
    [[], "required option '--file <file>'"],
    [['--file', file, '--head', 'a'.repeat(64)], '--head and --no-state belong to --verify'],
    [['--file', file, '--no-state'], '--head and --no-state belong to --verify'],
    [['--file', file, '--verify', '--head', 'A'.repeat(64)], 'give the 64 hexadecimal digits'],
  ];
  for (const [words, sentence] of cases) {
    const { exitCode, stdout, stderr } = await state.run('audit', ...words);
    expect([words, exitCode, stdout]).toEqual([words, 2, '']);
    expect(stderr).toContain(sentence);
  }
  expect(existsSync(file)).toBe(false);
});
