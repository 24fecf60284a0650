import { beforeEach, describe, expect, test } from 'vitest';
import { makeQueueState, type QueueState } from './support/queue-state.ts';

let state: QueueState;
beforeEach(async () => {
  state = await makeQueueState();
});

/** The ids of the events in a state. */
async function idsIn(name: string): Promise<Set<string>> {
  const { stdout } = await state.run('list', '--json', '--state', name);
  return new Set(JSON.parse(stdout).events.map(({ id }: { id: string }) => id));
}

/** When an event is due, milliseconds since the epoch. */
async function dueOf(id: string): Promise<number> {
  const { stdout } = await state.run('list', '--json', '--id', id);
  return Date.parse(JSON.parse(stdout).events[0].due);
}

describe('postern events retry', () => {
  test('puts dead letters back by their ids: they are due now, and can be delivered', async () => {
    const [one, two, other] = [
      await state.add({ state: 'dead' }),
      await state.add({ state: 'dead' }),
      await state.add({ state: 'dead' }),
    ];
    const { exitCode, stdout, stderr } = await state.run('retry', one.id, two.messageId ?? '', one.id);
    expect([exitCode, stdout, stderr]).toEqual([0, '2 events put back into the queue, due now\n', '']);
    expect(await idsIn('waiting')).toEqual(new Set([one.id, two.id]));
    expect(await idsIn('dead')).toEqual(new Set([other.id]));
    await state.settle(one, 'delivered');
    expect(await idsIn('delivered')).toEqual(new Set([one.id]));
  });

  test('--failed puts back those that failed since a time, narrowed by route and type', async () => {
    const order = await state.add({ state: 'dead', receivedMs: Date.now() - 86_400_000 });
    const bill = await state.add({ state: 'dead', route: 'bills', eventType: 'bills.paid' });
    const untouched = await state.add({ state: 'waiting' });
    const before = await dueOf(untouched.id);
    const retry = async (...words: string[]) =>
      (await state.run('retry', '--failed', '--json', ...words)).stdout;
    const afterAll = new Date(Date.now() + 60_000).toISOString();
    expect(await retry('--since', afterAll)).toBe('{"retried":0,"problems":[]}\n');
    expect(await retry('--since', '1h', '--route', 'bills', '--type', 'orders.*')).toContain('"retried":0');
    expect(await retry('--since', '1h', '--route', 'bills', '--type', 'bills.*')).toContain('"retried":1');
    expect(await idsIn('dead')).toEqual(new Set([order.id]));
    // It was received a day ago, and has failed only now.
    expect(await retry('--since', '1h')).toContain('"retried":1');
    expect(await idsIn('waiting')).toEqual(new Set([order.id, bill.id, untouched.id]));
    expect(await dueOf(untouched.id)).toBe(before);
  });

  test('--waiting makes due at once what waits for its next attempt', async () => {
    const [order, bill] = [
      await state.add({ state: 'waiting' }),
      await state.add({ state: 'waiting', route: 'bills' }),
    ];
    const { stdout } = await state.run('retry', '--waiting', '--route', 'bills');
    expect(stdout).toBe('1 event put back into the queue, due now\n');
    expect(await dueOf(bill.id)).toBeLessThanOrEqual(Date.now() + 1000);
    expect(await dueOf(order.id)).toBeGreaterThan(Date.now() + 60_000);
  });

  test('says of each id why it was left as it is, with exit code 1, and does the others', async () => {
    const delivered = await state.add();
    const dead = await state.add({ state: 'dead' });
    const taken = await state.add({ state: 'delivering' });
    const { exitCode, stdout, stderr } = await state.run('retry', delivered.id, taken.id, 'nowhere', dead.id);
    expect([exitCode, stdout]).toEqual([1, '1 event put back into the queue, due now\n']);
    expect(stderr.split('\n')).toEqual([
      `${delivered.id} (route orders) was delivered already and is left as it is`,
      `${taken.id} (route orders) is being delivered at this moment; look again when that has ended`,
      expect.stringMatching(/^nowhere: there is no such event/),
      '',
    ]);
  });
});

describe('postern events discard', () => {
  test('removes by id what waits or is dead, and says of the rest why it stays', async () => {
    const [dead, waiting] = [await state.add({ state: 'dead' }), await state.add({ state: 'waiting' })];
    const [delivered, taken] = [await state.add(), await state.add({ state: 'delivering' })];
    const { exitCode, stdout, stderr } = await state.run(
      'discard',
      ...[dead, waiting, delivered, taken].map(({ id }) => id),
    );
    expect([exitCode, stdout]).toEqual([1, '2 events discarded\n']);
    expect(stderr).toMatch(/delivered already[^\n]*\n[^\n]*being delivered at this moment/);
    expect(await idsIn('delivered,delivering')).toEqual(new Set([delivered.id, taken.id]));
    expect((await state.run('show', dead.id)).exitCode).toBe(1);
  });

  test('removes by filters those, and no others', async () => {
    const oldMs = Date.now() - 40 * 86_400_000;
    const old = await state.add({ state: 'dead', receivedMs: oldMs });
    const kept = [
      await state.add({ state: 'dead' }),
      await state.add({ state: 'dead', receivedMs: oldMs, route: 'bills' }),
      await state.add({ state: 'waiting', receivedMs: oldMs }),
    ];
    const { exitCode, stdout } = await state.run(
      'discard',
      '--state',
      'dead',
      '--until',
      '30d',
      '--route',
      'orders',
    );
    expect([exitCode, stdout]).toEqual([0, '1 event discarded\n']);
    expect(await idsIn('dead,waiting')).toEqual(new Set(kept.map(({ id }) => id)));
    expect(await idsIn('dead')).not.toContain(old.id);
    expect((await state.run('discard', '--all')).stdout).toBe('3 events discarded\n');
  });

  test("does not remove an event whose id another's sender chose as its message id", async () => {
    const mine = await state.add({ state: 'dead' });
    const other = await state.add({ state: 'dead', route: 'bills', messageId: mine.id });
    expect((await state.run('discard', mine.id)).stdout).toBe('1 event discarded\n');
    expect(await idsIn('dead')).toEqual(new Set([other.id]));
  });
});

test('without ids and filters nothing is done, and both say what to give', async () => {
  const dead = await state.add({ state: 'dead' });
  const cases: [string[], string][] = [
    [['retry'], 'say which: ids, or --failed, or --waiting'],
    [['retry', '--since', '1h'], 'say which: ids, or --failed, or --waiting'],
    [['retry', '--failed'], 'say since when (--since 2h), or of which --route or --type, or --all'],
    [['retry', '--failed', '--since', 'soon'], '--since soon: give a time'],
    [['retry', dead.id, '--failed'], 'not both'],
    [['discard'], 'say which: ids, or --state dead, --state waiting, or --all'],
    [['discard', '--route', 'orders'], 'say which: ids, or --state dead'],
    [['discard', '--state', 'delivered'], '--state delivered: give one or more of waiting, dead'],
    [['discard', '--state', 'dead', '--type', '*.made'], '--type *.made: give a type'],
    [['discard', dead.id, '--all'], 'not both'],
  ];
  await Promise.all(
    cases.map(async ([[command = '', ...words], sentence]) => {
      const { exitCode, stdout, stderr } = await state.run(command, ...words);
      expect([command, words, exitCode, stdout]).toEqual([command, words, 2, '']);
      expect(stderr).toContain(sentence);
    }),
  );
  // An id like an option does not become one.
  expect((await state.run('discard', '--', '--all')).exitCode).toBe(1);
  expect(await idsIn('dead')).toEqual(new Set([dead.id]));
});

describe('postern events forget', () => {
  test('drops the claim of a message on one route, and says how many', async () => {
    await state.claim('orders', 'msg_a');
    await state.claim('bills', 'msg_a');
    const { exitCode, stdout } = await state.run('forget', 'msg_a', '--route', 'orders');
    expect([exitCode, stdout]).toEqual([0, '1 claim dropped: the next copy of msg_a is delivered\n']);
    const again = await state.run('forget', 'msg_a', '--route', 'orders', '--json');
    expect([again.exitCode, again.stdout]).toEqual([1, '{"forgotten":0}\n']);
    expect(again.stderr).toBe(
      'the route orders remembers no message msg_a: a copy of it is delivered as it is\n',
    );
    expect((await state.run('forget', 'msg_a', '--route', 'bills', '--json')).stdout).toBe(
      '{"forgotten":1}\n',
    );
  });

  test("takes an event's own id, as list shows it", async () => {
    const event = await state.add();
    await state.claim('orders', event.messageId ?? '');
    const { exitCode } = await state.run('forget', event.id, '--route', 'orders');
    expect(exitCode).toBe(0);
  });

  test('works for a route that is not configured any more, and says that it is not', async () => {
    await state.claim('renamed', 'msg_b');
    const { exitCode, stderr } = await state.run('forget', 'msg_b', '--route', 'renamed');
    expect([exitCode, stderr]).toEqual([
      0,
      expect.stringMatching(/^note: the configuration has no route "renamed"; /),
    ]);
  });

  test('needs a route', async () => {
    const { exitCode, stderr } = await state.run('forget', 'msg_b');
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("required option '--route <name>'")]);
  });
});
