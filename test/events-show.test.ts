import { beforeAll, expect, test } from 'vitest';
import { runInTerminal } from './support/command.ts';
import { makeQueueState, type QueueState } from './support/queue-state.ts';

let state: QueueState;
beforeAll(async () => {
  state = await makeQueueState();
});

/** Characters that a terminal would act on, line ends and tabs left out. */
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;

test('everything of an event is shown: facts, headers, payload, attempts', async () => {
  const event = await state.add({
    state: 'dead',
    client: 'acme',
    query: '?a=1',
    headers: ['content-type', 'application/json', 'webhook-id', 'msg_1', 'x-two', 'a', 'x-two', 'b'],
    body: Buffer.from('{\n\t"name": "Zoë"\n}\n'),
    tried: [{ status: 410, durationMs: 34, answer: Buffer.from('gone\nfor good') }],
  });
  const { exitCode, stdout } = await state.run('show', event.messageId ?? '');
  expect(exitCode).toBe(0);
  const received = new Date(event.receivedMs).toISOString();
  for (const part of [
    `event     ${event.id}\nroute     orders\nclient    acme\nmessage   ${event.messageId}\ntype      orders.made\n`,
    'state     dead, 1 attempt\n',
    `received  ${received} (`,
    'sender    192.0.2.7\ncert      CN=shop sha256:abab',
    'secret    place 0 in the list\nrequest   POST /orders?a=1\n',
    `body      ${event.body.length} bytes, SHA-256 ${event.bodySha256}\n`,
    '\nheaders\n  content-type: application/json\n  webhook-id: msg_1\n  x-two: a\n  x-two: b\n',
    '\npayload\n{\n\t"name": "Zoë"\n}\n',
  ])
    expect(stdout).toContain(part);
  expect(stdout).toMatch(
    /\nattempts\n {4}1 {2}\d{4}-\S+Z {2}34 ms {2}http:\/\/127\.0\.0\.1:9000 {2}410\n {7}gone\n {7}for good\n$/,
  );
});

test('as JSON the payload and the answers are there as bytes, and as text where they are UTF-8', async () => {
  const event = await state.add({
    body: Buffer.from('{"a":"\x1b[2J"}'),
    tried: [{ answer: Buffer.from([0xff, 0x00]), detail: 'a detail' }],
  });
  const { stdout } = await state.run('show', event.id, '--json');
  const [shown, ...others] = JSON.parse(stdout).events;
  expect(others).toEqual([]);
  expect(shown).toMatchObject({
    id: event.id,
    method: 'POST',
    headers: [{ name: 'content-type', value: 'application/json' }],
    body: { base64: event.body.toString('base64'), text: event.body.toString() },
    log: [{ attempt: 1, ms: 12, upstream_status: 200, detail: 'a detail', answer: { base64: '/wA=' } }],
  });
  expect(shown.log[0].answer).not.toHaveProperty('text');
  expect(stdout).not.toMatch(CONTROL);
});

test('nothing that a sender or an upstream wrote acts on the terminal', async () => {
  const evil = '\x1b]0;owned\x07\x1b[2J\u009b31m\rrewritten\u202etxt';
  const event = await state.add({
    messageId: undefined,
    eventType: evil,
    client: evil,
    path: `/orders/${evil}`,
    headers: ['x-evil', evil],
    body: Buffer.from(`{"a":"${evil}"}`),
    certificate: { subject: `CN=${evil}`, fingerprint: 'sha256:00' },
    tried: [{ answer: Buffer.from(evil), detail: evil }],
  });
  const shown = await state.run('show', event.id);
  expect(shown.stdout).not.toMatch(CONTROL);
  expect(shown.stdout).toContain('payload in base64: it holds control characters\n');
  expect(shown.stdout).toContain(event.body.toString('base64').slice(0, 40));
  expect(shown.stdout).toContain('       \\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\x0drewritten\\u202etxt\n');
  for (const command of [
    ['list'],
    ['list', '--json'],
    ['show', event.id, '--json'],
    ['export'],
    ['show', evil],
  ]) {
    const { stdout, stderr } = await state.run(command[0] ?? '', ...command.slice(1));
    expect(stdout + stderr).not.toMatch(CONTROL);
  }
});

test('a payload that is no UTF-8 is shown in base64', async () => {
  const event = await state.add({ body: Buffer.from([0x7b, 0xff, 0x7d]) });
  expect((await state.run('show', event.id)).stdout).toContain('payload in base64: it is no UTF-8\ne/99\n');
});

test('an answer that was cut inside a character is shown up to it', async () => {
  const answer = Buffer.from('price: 5 €').subarray(0, -1);
  const event = await state.add({ tried: [{ answer }] });
  expect((await state.run('show', event.id)).stdout).toContain('       price: 5\n');
});

test('--body writes the bytes of the payload and nothing else', async () => {
  const body = Buffer.from('\x1b[31m{"a": 1}\r\nno line end');
  const event = await state.add({ body });
  const { exitCode, stdout, stderr } = await state.run('show', '--body', event.id);
  expect([exitCode, stdout, stderr]).toEqual([0, body.toString(), '']);
});

test('--body does not write to a terminal what would act on it', async () => {
  const evil = await state.add({ body: Buffer.from('\x1b[31mred') });
  const good = await state.add({ body: Buffer.from('{"a": 1}') });
  const show = (id: string) => runInTerminal(100, ['events', 'show', '--config', state.config, '--body', id]);
  const refused = await show(evil.id);
  expect(refused.exitCode).toBe(2);
  expect(refused.output).toContain('the payload holds characters that a terminal acts on');
  expect(refused.output).not.toContain('\x1b[31m');
  expect(await show(good.id)).toEqual({ exitCode: 0, output: '{"a": 1}' });
});

test('a message of several routes is shown once for each; --body asks for one of them', async () => {
  const messageId = 'msg_of_two';
  const order = await state.add({ messageId, body: Buffer.from('order') });
  const bill = await state.add({ messageId, route: 'bills', body: Buffer.from('bill') });
  const both = await state.run('show', messageId, '--json');
  expect(new Set(JSON.parse(both.stdout).events.map(({ id }: { id: string }) => id))).toEqual(
    new Set([order.id, bill.id]),
  );
  const unsure = await state.run('show', messageId, '--body');
  expect([unsure.exitCode, unsure.stdout]).toEqual([2, '']);
  expect(unsure.stderr).toMatch(/^msg_of_two names 2 events: say which by --route or by its own id: /);
  expect(unsure.stderr).toContain(`${order.id} (route orders)`);
  expect(unsure.stderr).toContain(`${bill.id} (route bills)`);
  expect((await state.run('show', messageId, '--body', '--route', 'bills')).stdout).toBe('bill');
  expect((await state.run('show', bill.id, '--body')).stdout).toBe('bill');
});

test("a message whose sender gave it another event's id does not stand in that one's way", async () => {
  const event = await state.add({ body: Buffer.from('mine') });
  await state.add({ messageId: event.id, body: Buffer.from('the other one') });
  expect((await state.run('show', event.id, '--body')).stdout).toBe('mine');
});

test('an id that looks like an option is shown behind --', async () => {
  const event = await state.add({ messageId: '--all', body: Buffer.from('odd') });
  expect((await state.run('show', '--body', '--', '--all')).stdout).toBe('odd');
  expect((await state.run('show', '--all')).exitCode).toBe(2);
  expect((await state.run('list', '--json', '--id=--all')).stdout).toContain(event.id);
});

test('an id that names nothing ends with exit code 1 and a sentence', async () => {
  const { exitCode, stdout, stderr } = await state.run('show', 'msg_nowhere');
  expect([exitCode, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(
    /^msg_nowhere: there is no such event; it was never accepted into the queue, was discarded, /,
  );
  const event = await state.add();
  const elsewhere = await state.run('show', event.id, '--route', 'bills');
  expect([elsewhere.exitCode, elsewhere.stderr]).toEqual([
    1,
    expect.stringContaining('no such event on the route bills'),
  ]);
});
