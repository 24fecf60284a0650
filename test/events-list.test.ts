import { existsSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { beforeAll, describe, expect, test } from 'vitest';
import type { QueuedEvent } from '../src/events.ts';
import { runInTerminal } from './support/command.ts';
import { makeQueueState, type QueueState } from './support/queue-state.ts';

const HOUR_MS = 3_600_000;

/** The ids of a list in JSON, in order, and where the next page begins. */
async function list(state: QueueState, ...words: string[]): Promise<{ ids: string[]; next?: string }> {
  const { exitCode, stdout, stderr } = await state.run('list', '--json', ...words);
  expect([exitCode, stderr]).toEqual([0, '']);
  const { events, next } = JSON.parse(stdout) as { events: { id: string }[]; next?: string };
  return { ids: events.map(({ id }) => id), ...(next !== undefined && { next }) };
}

describe('postern events list', () => {
  let state: QueueState;
  let [old, dead, bill, waiting, taken]: QueuedEvent[] = [];
  const idOf = (event: QueuedEvent | undefined): string => event?.id ?? '';
  beforeAll(async () => {
    state = await makeQueueState();
    const nowMs = Date.now();
    old = await state.add({ receivedMs: nowMs - 50 * HOUR_MS });
    dead = await state.add({
      state: 'dead',
      receivedMs: nowMs - 3 * HOUR_MS,
      eventType: 'orders.lost',
      tried: [{ status: undefined, reason: 'upstream.unreachable', target: undefined }],
    });
    bill = await state.add({ route: 'bills', receivedMs: nowMs - 2 * HOUR_MS, eventType: 'bills.paid' });
    waiting = await state.add({ state: 'waiting', receivedMs: nowMs - HOUR_MS, tried: [{ status: 429 }] });
    taken = await state.add({ state: 'delivering', receivedMs: nowMs - 1000, eventType: undefined });
  });

  test('shows the newest first: id, route, state, type, when received, tries, the last answer, when due', async () => {
    const { exitCode, stdout } = await state.run('list');
    expect(exitCode).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(6);
    expect(lines[0]).toMatch(/^id +route +state +type +received +tries +last +due$/);
    const received = new Date(waiting?.receivedMs ?? 0).toISOString().slice(0, 19);
    expect(lines[1]).toMatch(new RegExp(`^${idOf(taken)} +orders +delivering +- .* -$`));
    expect(lines[2]).toMatch(
      new RegExp(`^${idOf(waiting)} +orders +waiting +orders.made +${received}Z +1 +429 +in 59m$`),
    );
    expect(lines[3]).toMatch(new RegExp(`^${idOf(bill)} +bills +delivered +bills.paid .* 1 +200 +-$`));
    expect(lines[4]).toMatch(new RegExp(`^${idOf(dead)} .* 1 +upstream.unreachable +-$`));
    expect(lines[5]).toMatch(new RegExp(`^${idOf(old)} `));
  });

  test('fits a terminal of 100 columns', async () => {
    const { output } = await runInTerminal(100, ['events', 'list', '--config', state.config]);
    const lines = output.trimEnd().split(/\r?\n/);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(lines[2]).toMatch(new RegExp(`^${idOf(waiting)} +orders +waiting .* 60m ago +1 +429 +in 59m$`));
  });

  test('says of an event as JSON what is known without its payload', async () => {
    const { stdout } = await state.run('list', '--json', '--id', idOf(dead));
    expect(JSON.parse(stdout)).toEqual({
      events: [
        {
          id: idOf(dead),
          route: 'orders',
          message_id: dead?.messageId,
          event_type: 'orders.lost',
          state: 'dead',
          received: new Date(dead?.receivedMs ?? 0).toISOString(),
          finished: expect.stringMatching(/^\d{4}-.*Z$/),
          attempts: 1,
          reason: 'upstream.unreachable',
          bytes: dead?.body.length,
          body_sha256: dead?.bodySha256,
          address: '192.0.2.7',
          certificate: dead?.certificate,
          secret: 0,
        },
      ],
    });
  });

  test('is narrowed by route, state, type, id and time, and by all of them together', async () => {
    const cases: [string[], (QueuedEvent | undefined)[]][] = [
      [['--route', 'bills'], [bill]],
      [['--state', 'dead'], [dead]],
      [
        ['--state', 'waiting, delivering'],
        [taken, waiting],
      ],
      [
        ['--type', 'orders.*'],
        [waiting, dead, old],
      ],
      [['--type', 'orders.lost'], [dead]],
      [['--type', 'orders'], []],
      [['--id', idOf(bill)], [bill]],
      [['--id', bill?.messageId ?? ''], [bill]],
      [
        ['--since', '150m'],
        [taken, waiting, bill],
      ],
      [
        ['--until', '150m'],
        [dead, old],
      ],
      [
        ['--since', new Date(dead?.receivedMs ?? 0).toISOString(), '--until', '90m'],
        [bill, dead],
      ],
      [['--since', '1d', '--route', 'orders', '--state', 'dead,delivered', '--type', '*'], [dead]],
    ];
    for (const [words, events] of cases)
      expect([words, (await list(state, ...words)).ids]).toEqual([words, events.map(idOf)]);
  });

  test('pages: each begins where the one before it ended, and the last says that it is', async () => {
    const first = await list(state, '--limit', '2');
    const second = await list(state, '--limit', '2', '--after', first.next ?? '');
    const third = await list(state, '--limit', '2', '--after', second.next ?? '');
    expect([...first.ids, ...second.ids, ...third.ids]).toEqual([taken, waiting, bill, dead, old].map(idOf));
    expect(third.next).toBeUndefined();
    const { stdout } = await state.run('list', '--limit', '2');
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(`there are more: --after ${first.next}`);
  });

  test('says of a route that is not configured which are, and shows its events all the same', async () => {
    const { exitCode, stdout, stderr } = await state.run('list', '--route', 'order');
    expect([exitCode, stdout]).toEqual([0, 'no such event\n']);
    expect(stderr).toBe(
      'note: the configuration has no route "order"; did you mean orders? known are orders, bills\n',
    );
  });

  test('ends with exit code 2 and a sentence where it is wrongly used', async () => {
    const cases: [string[], string][] = [
      [['--state', 'done'], '--state done: give one or more of waiting, delivering, delivered, dead'],
      [['--type', 'orders.*.made'], '--type orders.*.made: give a type, or its beginning and one *'],
      [['--since', '2026-02-30'], '--since 2026-02-30: give a time such as 2026-03-01T08:30:00Z, or an age'],
      [['--until', 'yesterday'], '--until yesterday: give a time'],
      [['--since', '1h', '--until', '2h'], '--since is not before --until'],
      [['--limit', '0'], '--limit 0: give a whole number from 1 to 500'],
      [['--limit', '501'], '--limit 501: give a whole number from 1 to 500'],
      [['--everything'], "unknown option '--everything'"],
    ];
    await Promise.all(
      cases.map(async ([words, sentence]) => {
        const { exitCode, stdout, stderr } = await state.run('list', ...words);
        expect([words, exitCode, stdout]).toEqual([words, 2, '']);
        expect(stderr).toContain(sentence);
      }),
    );
  });
});

describe('a state that cannot be looked at is told in a sentence:', () => {
  test('a file that is not there yet, and is not made', async () => {
    const state = await makeQueueState();
    for (const command of [
      ['list'],
      ['show', 'a'],
      ['retry', 'a'],
      ['audit', '--file', state.path('audit')],
    ]) {
      const { exitCode, stdout, stderr } = await state.run(command[0] ?? '', ...command.slice(1));
      expect([exitCode, stdout]).toEqual([1, '']);
      expect(stderr).toContain(`no state file at ${state.file} yet: the gateway makes it when it starts`);
    }
    expect([existsSync(state.file), existsSync(state.path('audit'))]).toEqual([false, false]);
  });

  test('the driver memory', async () => {
    const state = await makeQueueState({ driver: 'memory', path: undefined });
    const { exitCode, stderr } = await state.run('list');
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringContaining('memory keeps nothing beyond the process'),
    ]);
  });

  test('a file of a later version', async () => {
    const state = await makeQueueState();
    await state.add();
    const database = new DatabaseSync(state.file);
    database.exec('PRAGMA user_version = 999');
    database.close();
    const { exitCode, stderr } = await state.run('list');
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^state file .*state\.db: .*999.*\n$/)]);
  });

  test('a file that is something else', async () => {
    const state = await makeQueueState();
    writeFileSync(
      state.file,
      'this is no database, but a text that is long enough to be told from one'.repeat(9),
    );
    const { exitCode, stderr } = await state.run('list');
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^state file .*state\.db: .*\n$/)]);
    expect(stderr).not.toContain('    at ');
  });

  test('a file that another program keeps locked, for what changes it', async () => {
    const state = await makeQueueState();
    const event = await state.add({ state: 'dead' });
    const other = new DatabaseSync(state.file);
    other.exec('BEGIN IMMEDIATE');
    const locked = await state.run('retry', event.id);
    expect([locked.exitCode, locked.stdout]).toEqual([1, '']);
    expect(locked.stderr).toMatch(/^state file .*state\.db: .*lock.*\n$/);
    expect((await list(state, '--state', 'dead')).ids).toEqual([event.id]);
    other.exec('ROLLBACK');
    other.close();
    expect((await state.run('retry', event.id)).exitCode).toBe(0);
  });

  test('a configuration with a mistake, with exit code 78', async () => {
    const state = await makeQueueState({ driver: 'paper' });
    const { exitCode, stderr } = await state.run('list');
    expect([exitCode, stderr]).toEqual([78, expect.stringContaining('state.driver')]);
  });
});

test('every command of events has help with an example', async () => {
  const state = await makeQueueState();
  for (const command of ['list', 'show', 'retry', 'discard', 'forget', 'export', 'audit']) {
    const { exitCode, stdout } = await state.run(command, '--help');
    expect([command, exitCode]).toEqual([command, 0]);
    expect(stdout).toMatch(new RegExp(`Examples?:\\n  postern events ${command}`));
  }
});
