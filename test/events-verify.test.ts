import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { beforeAll, expect, test } from 'vitest';
import { runCommand } from './support/command.ts';
import { makeQueueState, type QueueState } from './support/queue-state.ts';

let state: QueueState;
let whole: string[];
beforeAll(async () => {
  state = await makeQueueState();
  for (let n = 0; n < 8; n += 1) await state.add({ body: Buffer.from(`{"n":${n}}`) });
  const file = state.path('audit.jsonl');
  await state.run('audit', '--file', file);
  whole = readFileSync(file, 'utf8').trimEnd().split('\n');
});

let files = 0;
/** What is said of these lines as a file. */
async function verify(lines: readonly string[], ...words: string[]) {
  files += 1;
  const file = state.path(`altered-${files}.jsonl`);
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''), { mode: 0o600 });
  const { exitCode, stdout, stderr } = await state.run(
    'audit',
    '--verify',
    '--file',
    file,
    '--json',
    ...words,
  );
  expect(stderr).toBe('');
  const found = JSON.parse(stdout) as {
    lines: number;
    head: string;
    late: number;
    compared?: number;
    waiting: number;
    findings: { line?: number; problem: string }[];
    more: number;
  };
  expect(exitCode).toBe(found.findings.length === 0 ? 0 : 1);
  return { ...found, file };
}

/** The line of this place, from 1. */
const line = (place: number): string => whole[place - 1] ?? '';
const idOf = (place: number): string => JSON.parse(line(place)).id;
const hashOf = (text: string): string => JSON.parse(text).hash;

/** The line with other facts, its hash made to fit: what somebody does who knows the format. */
function forged(text: string, change: (line: Record<string, unknown>) => object): string {
  const { hash: _, ...facts } = JSON.parse(text);
  const hashed = JSON.stringify(change(facts));
  return `${hashed.slice(0, -1)},"hash":"${createHash('sha256').update(hashed).digest('hex')}"}`;
}

/** The lines as a chain of their own, from a place on: what somebody does who rewrites the file. */
function chained(lines: readonly string[]): string[] {
  let previous = '0'.repeat(64);
  return lines.map((text, place) => {
    const made = forged(text, (facts) => ({ ...facts, n: place + 1, previous }));
    previous = hashOf(made);
    return made;
  });
}

test('a file as it was written is in order, and its head is told', async () => {
  const { findings, lines, head, compared, waiting, late } = await verify(whole);
  expect(findings).toEqual([]);
  expect({ lines, head, compared, waiting, late }).toEqual({
    lines: 8,
    head: hashOf(line(8)),
    compared: 8,
    waiting: 0,
    late: 0,
  });
});

test('any character of any line that is another is found, with its line', async () => {
  for (const at of [0, 5, 40, 200, 300, line(4).length - 90, line(4).length - 2, line(4).length - 1]) {
    const other = line(4)[at] === '7' ? '8' : '7';
    const altered = line(4).slice(0, at) + other + line(4).slice(at + 1);
    const { findings } = await verify(whole.with(3, altered), '--no-state');
    expect([at, findings.map(({ line }) => line)]).toEqual([at, [4]]);
  }
});

test('an altered line whose hash was made to fit is found by the one behind it', async () => {
  const { findings } = await verify(
    whole.with(
      3,
      forged(line(4), (facts) => ({ ...facts, address: '203.0.113.1' })),
    ),
    '--no-state',
  );
  expect(findings).toEqual([
    { line: 5, problem: 'this line does not continue the one before it: that one was replaced, or this one' },
  ]);
});

test('an altered line with a whole new chain behind it is found by the state, and by a head noted before', async () => {
  const facts = (text: string) => forged(text, (one) => ({ ...one, address: '203.0.113.1' }));
  const rewritten = chained(whole.with(3, facts(line(4))));
  expect((await verify(rewritten, '--no-state')).findings).toEqual([]);
  const { findings } = await verify(rewritten);
  expect(findings).toEqual([
    {
      line: 4,
      problem: `this line does not say what the state says of the event ${idOf(4)}: one of the two was altered`,
    },
  ]);
  const noted = await verify(rewritten, '--no-state', '--head', hashOf(line(6)));
  expect(noted.findings).toEqual([{ problem: expect.stringContaining(hashOf(line(6))) }]);
});

test('a line in other words, though its hash fits, is none of ours', async () => {
  const spaced = forged(line(8), ({ id, ...facts }) => ({ ...facts, id }));
  const { findings } = await verify(whole.with(7, spaced), '--no-state');
  expect(findings).toEqual([
    { line: 8, problem: 'this line was not written by `postern events audit`, though its hash fits' },
  ]);
});

test('removed lines are found where they are missing, and by the state', async () => {
  const { findings } = await verify(whole.toSpliced(2, 2));
  expect(findings).toEqual([
    { line: 3, problem: 'numbers 3 to 4 are missing before this line, which is number 5' },
    {
      problem: expect.stringContaining(`no line for the event ${idOf(3)} of the route orders, delivered at `),
    },
    { problem: expect.stringContaining(`no line for the event ${idOf(4)} `) },
  ]);
  expect((await verify(whole.slice(1), '--no-state')).findings).toEqual([
    { line: 1, problem: 'number 1 is missing before this line, which is number 2' },
  ]);
});

test('removed lines with a whole new chain are found by the state', async () => {
  const rewritten = chained(whole.toSpliced(2, 1));
  expect((await verify(rewritten, '--no-state')).findings).toEqual([]);
  expect((await verify(rewritten)).findings).toEqual([{ problem: expect.stringContaining(idOf(3)) }]);
});

test('lines that changed places are found', async () => {
  const { findings } = await verify(whole.with(4, line(6)).with(5, line(5)), '--no-state');
  expect(findings).toEqual([
    { line: 5, problem: 'number 5 is missing before this line, which is number 6' },
    { line: 6, problem: 'this line is out of order: it is number 5 and follows number 6' },
  ]);
});

test('a repeated line is found, and which it repeats', async () => {
  const { findings } = await verify(whole.toSpliced(6, 0, line(2)), '--no-state');
  expect(findings).toEqual([
    { line: 7, problem: `this line repeats line 2: both are of the event ${idOf(2)}` },
  ]);
  const rewritten = chained(whole.toSpliced(6, 0, line(2)));
  expect((await verify(rewritten, '--no-state')).findings).toContainEqual({
    line: 7,
    problem: `this line repeats line 2: both are of the event ${idOf(2)}`,
  });
});

test('lines cut off at the end are found by a head noted before, which may be older than the last', async () => {
  const cut = whole.slice(0, 6);
  const quiet = await verify(cut);
  expect([quiet.findings, quiet.waiting]).toEqual([[], 2]);
  expect((await verify(whole, '--head', hashOf(line(6)))).findings).toEqual([]);
  expect((await verify(cut, '--head', hashOf(line(6)))).findings).toEqual([]);
  expect((await verify(cut, '--head', hashOf(line(8)))).findings).toEqual([
    {
      problem: `no line has the hash ${hashOf(line(8))} that was noted: lines were cut off at the end, or the file was written anew`,
    },
  ]);
  expect((await verify([], '--head', hashOf(line(8)))).findings).toHaveLength(1);
});

test('a line of an earlier finish that does not say so is found; one that came late says so', async () => {
  const moved = chained([...whole.toSpliced(1, 1), line(2)]);
  const { findings } = await verify(moved, '--no-state');
  expect(findings).toEqual([
    {
      line: 8,
      problem:
        'this line does not say that it came late, and its event finished before those of earlier lines',
    },
  ]);
  // What was removed, with a chain that hides it, comes again with the next run: late, and nothing is lost.
  const file = state.path('removed.jsonl');
  writeFileSync(file, `${chained(whole.toSpliced(1, 1)).join('\n')}\n`, { mode: 0o600 });
  await state.run('audit', '--file', file);
  const last = JSON.parse(readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '');
  expect([last.n, last.id, last.late]).toEqual([8, idOf(2), true]);
  const { stdout, exitCode } = await state.run('audit', '--verify', '--file', file);
  expect([exitCode, stdout]).toEqual([
    0,
    expect.stringContaining('8 events of the state compared, 1 came late;'),
  ]);
});

test('without --json each finding is FILE:LINE: and a sentence, with a count at the end', async () => {
  const { file } = await verify(whole.toSpliced(2, 1), '--no-state');
  const { exitCode, stdout } = await state.run('audit', '--verify', '--file', file, '--no-state');
  expect([exitCode, stdout]).toEqual([
    1,
    `${file}:3: number 3 is missing before this line, which is number 4\n` +
      `${file}: 7 lines, 1 finding, not compared with the state; head ${hashOf(line(8))}\n`,
  ]);
});

test('a file with nothing right in it is told in bounds', async () => {
  const { findings, more } = await verify(
    Array.from({ length: 250 }, () => 'x'),
    '--no-state',
  );
  expect([findings.length, more]).toEqual([100, 150]);
});

test('--no-state needs neither configuration nor state', async () => {
  const words = ['--verify', '--no-state', '--file', state.path('audit.jsonl')];
  const { exitCode, stdout } = await runCommand(['events', 'audit', '--config', 'nowhere.yaml', ...words]);
  expect([exitCode, stdout]).toEqual([0, expect.stringContaining('8 lines, each as it was written')]);
});

test('a file that is not there is told', async () => {
  const { exitCode, stderr } = await state.run('audit', '--verify', '--file', state.path('nowhere'));
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining('nowhere: there is no such file')]);
});

test('a payload that was altered in the state is found, with the line of its event', async () => {
  const other = await makeQueueState();
  const event = await other.add({ body: Buffer.from('{"amount":100}') });
  await other.add({ body: Buffer.from('{"amount":200}') });
  const file = other.path('audit.jsonl');
  await other.run('audit', '--file', file);
  const database = new DatabaseSync(other.file);
  database.exec(
    `UPDATE payloads SET body = CAST('{"amount":900}' AS BLOB) WHERE seq = (SELECT seq FROM events WHERE id = '${event.id}')`,
  );
  database.close();
  const { exitCode, stdout } = await other.run('audit', '--verify', '--file', file);
  expect(exitCode).toBe(1);
  const computed = createHash('sha256').update('{"amount":900}').digest('hex');
  expect(stdout).toContain(
    `${file}:1: the state holds another payload of the event ${event.id} than the one audited: its SHA-256 is ${computed}\n`,
  );
  expect(stdout).toContain(`${file}: 2 lines, 1 finding, 2 events of the state compared; head `);
});
