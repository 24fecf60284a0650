import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeQueueState, type QueueState } from './support/queue-state.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';

describe.skipIf(!hasRedis())('postern events, of a state on Redis,', () => {
  let redis: RedisServer;
  let prefixes = 0;
  let state: QueueState;
  const fresh = (): Promise<QueueState> => {
    prefixes += 1;
    return makeQueueState({ driver: 'redis', path: undefined, url: redis.url, prefix: `test-${prefixes}` });
  };
  const list = async (...words: string[]) => {
    const { exitCode, stdout, stderr } = await state.run('list', '--json', ...words);
    expect([exitCode, stderr]).toEqual([0, '']);
    const { events, next } = JSON.parse(stdout) as { events: { id: string }[]; next?: string };
    return { ids: events.map(({ id }) => id), next: next ?? '' };
  };
  beforeAll(async () => {
    redis = await startRedis();
  });

  test('lists, shows and exports', async () => {
    state = await fresh();
    const old = await state.add({ receivedMs: Date.now() - 7_200_000, body: Buffer.from('{"n":1}') });
    const dead = await state.add({ state: 'dead', receivedMs: Date.now() - 3_600_000 });
    const bill = await state.add({ state: 'dead', route: 'bills' });
    const first = await list('--limit', '2');
    expect(first.ids).toEqual([bill.id, dead.id]);
    expect(await list('--limit', '2', '--after', first.next)).toEqual({ ids: [old.id], next: '' });
    expect((await list('--until', '90m')).ids).toEqual([old.id]);
    const shown = (await state.run('show', old.id)).stdout;
    expect(shown).toContain('\npayload\n{"n":1}\n');
    expect(shown).toMatch(/ 200\n {7}said the upstream\n$/);
    const exported = await state.run('export', '--state', 'delivered');
    expect(JSON.parse(exported.stdout)).toMatchObject({ id: old.id, body: { text: '{"n":1}' } });
  });

  test('retries, discards and forgets', async () => {
    state = await fresh();
    const delivered = await state.add();
    const dead = await state.add({ state: 'dead' });
    const bill = await state.add({ state: 'dead', route: 'bills' });
    const retried = await state.run('retry', '--failed', '--since', '1h', '--route', 'orders');
    expect(retried.stdout).toBe('1 event put back into the queue, due now\n');
    expect((await list('--state', 'waiting')).ids).toEqual([dead.id]);
    expect((await state.run('discard', bill.id, dead.id)).stdout).toBe('2 events discarded\n');
    expect((await list()).ids).toEqual([delivered.id]);
    await state.claim('orders', 'msg_a');
    expect((await state.run('forget', 'msg_a', '--route', 'orders')).exitCode).toBe(0);
    expect((await state.run('forget', 'msg_a', '--route', 'orders')).exitCode).toBe(1);
  });

  test('audits what finished on all routes in the order in which it did, once, and verifies it', async () => {
    state = await fresh();
    const file = state.path('audit.jsonl');
    const audit = (...words: string[]) => state.run('audit', '--file', file, ...words);
    const ids: string[] = [];
    for (let n = 0; n < 12; n += 1) {
      const [route, verdict] = [
        n % 3 === 0 ? 'bills' : 'orders',
        n % 4 === 0 ? 'dead' : 'delivered',
      ] as const;
      ids.push((await state.add({ route, state: verdict })).id);
      // Redis sorts what finished in one millisecond by its key.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect((await audit()).stdout).toContain('12 lines appended');
    expect((await audit()).stdout).toContain('0 lines appended, 12 in all');
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(ids);
    await state.run('retry', ids[0] ?? '');
    const { exitCode, stdout } = await audit('--verify');
    expect([exitCode, stdout]).toEqual([
      0,
      expect.stringContaining('12 lines, each as it was written, 11 events of the state compared;'),
    ]);
  });

  test('says in a sentence that Redis is away', async () => {
    state = await fresh();
    await state.add();
    await redis.kill9();
    const { exitCode, stdout, stderr } = await state.run('list');
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^state: [^\n]+\n$/);
    await redis.start();
    expect((await list()).ids).toHaveLength(1);
  });
});
