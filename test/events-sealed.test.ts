import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, expect, test } from 'vitest';
import { makeQueueState, type QueueState } from './support/queue-state.ts';

const key = randomBytes(32).toString('base64');
let state: QueueState;
beforeEach(async () => {
  state = await makeQueueState({ encryption_key: key });
});

/** The configuration with another key in the place of the one that encrypted. */
function loseKey(): void {
  const text = readFileSync(state.config, 'utf8');
  writeFileSync(state.config, text.replace(key, randomBytes(32).toString('base64')));
}

const audit = (...words: string[]) => state.run('audit', '--file', state.path('audit.jsonl'), ...words);

test('with its key an encrypted state is shown, exported and audited like any other', async () => {
  const event = await state.add({ body: Buffer.from('{"n":1}') });
  expect(readFileSync(state.file).includes('{"n":1}')).toBe(false);
  expect((await state.run('show', event.id)).stdout).toContain('\npayload\n{"n":1}\n');
  expect(JSON.parse((await state.run('export')).stdout).body.text).toBe('{"n":1}');
  expect((await audit()).exitCode).toBe(0);
  expect((await audit('--verify')).exitCode).toBe(0);
});

test('without its key an event is shown without what is encrypted, and that is said', async () => {
  const event = await state.add({ state: 'dead' });
  loseKey();
  const why = /encrypted with the key [0-9a-f]{8}, which is not in state\.encryption_key/;
  const shown = await state.run('show', event.id);
  expect([shown.exitCode, shown.stdout]).toEqual([0, expect.stringMatching(why)]);
  expect(shown.stdout).toContain('orders.made');
  const body = await state.run('show', '--body', event.id);
  expect([body.exitCode, body.stdout, body.stderr]).toEqual([1, '', expect.stringMatching(why)]);
  const exported = await state.run('export');
  expect([exported.exitCode, JSON.parse(exported.stdout).unreadable]).toEqual([
    1,
    expect.stringMatching(why),
  ]);
  expect(exported.stderr).toContain('1 event of them without what cannot be decrypted');
});

test('without its key an event gets no line in the audit, the others do, and the exit code is 1', async () => {
  const event = await state.add();
  const config = readFileSync(state.config, 'utf8');
  loseKey();
  const { exitCode, stdout, stderr } = await audit();
  expect([exitCode, stdout]).toEqual([1, expect.stringContaining(': 0 lines appended')]);
  expect(stderr).toContain(
    `1 finished event could not be read and got no line: event ${event.id}: encrypted with`,
  );
  writeFileSync(state.config, config);
  expect((await audit()).stdout).toContain(': 1 line appended, 1 in all');
  loseKey();
  const verified = await audit('--verify');
  expect(verified.exitCode).toBe(1);
  expect(verified.stdout).toContain(
    `:1: the payload of the event ${event.id} in the state cannot be compared: encrypted with`,
  );
});

test('a payload that was altered where it is encrypted is found', async () => {
  const event = await state.add();
  await audit();
  const database = new DatabaseSync(state.file);
  database.exec('UPDATE payloads SET body = zeroblob(64)');
  database.close();
  const { exitCode, stdout } = await audit('--verify');
  expect(exitCode).toBe(1);
  expect(stdout).toContain(`:1: the payload of the event ${event.id} in the state cannot be compared: `);
});
