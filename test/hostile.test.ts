import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DoorCase, type Expectation, readDoorCorpus, readTable, writeTable } from './door/corpus.ts';
import { describeTrial, faultsOf, type Trial, tryCase } from './door/trial.ts';
import { startWorld, type World } from './door/world.ts';
import { openOracle } from './front/oracle.ts';
import { post } from './support/sender.ts';

/**
 * Each case goes over mTLS to one gateway whose upstream keeps every byte: exactly the requests that are authorised
 * get there, each whole, once and in order, and nothing else. `UPDATE_HOSTILE=1` writes what comes of the cases into
 * the table.
 */
const TABLE = readTable();
const CASES = readDoorCorpus();
const AREAS = [...new Set(TABLE.map(({ area }) => area))];
const ALL_MS = 300_000;
/** A gateway that so many wait for in vain is broken; the others would wait as long. */
const MOST_LOST = 8;

let world: World;
const trials = new Map<string, Trial | Error>();
const passed: Record<string, number> = {};

const caseOf = ({ name }: Expectation): DoorCase => CASES.get(name) as DoorCase;

beforeAll(async () => {
  // One connection: whatever one sender smuggled would stand before the next one's request.
  world = await startWorld(1);
  let lost = 0;
  for (const row of TABLE) {
    if (lost === MOST_LOST) break;
    const trial = await tryCase(world, caseOf(row), row.sender.endsWith('cut')).catch(
      (error: Error) => error,
    );
    if (trial instanceof Error) lost += 1;
    trials.set(row.name, trial);
  }
  await post(world.gateway, { path: '/last' });
  await world.gateway.record(({ path }) => path === '/last');
}, ALL_MS);

afterAll(() => {
  if (process.env.UPDATE_HOSTILE === '1') writeTable(TABLE.map((row) => ({ ...row, ...outcomeOf(row) })));
  const rows = AREAS.map((area) => {
    const tried = TABLE.filter((row) => row.area === area).length;
    return `| ${area} | ${tried} | ${passed[area] ?? 0} |`;
  });
  const sum = Object.values(passed).reduce((total, count) => total + count, 0);
  const table = ['| area | tried | passed |', '| --- | --- | --- |', ...rows];
  console.info(`${table.join('\n')}\n| all | ${TABLE.length} | ${sum} |`);
});

/** Throws what kept the case from coming to an end. */
function trialOf({ name }: Expectation): Trial {
  const trial = trials.get(name);
  if (trial === undefined || trial instanceof Error) throw trial ?? new Error(`${name} was not tried`);
  return trial;
}

function outcomeOf(row: Expectation): Omit<Expectation, 'area'> {
  return describeTrial(world, caseOf(row), trialOf(row));
}

test('the table holds each case of both corpora, and no other', () => {
  expect(TABLE.map(({ name }) => name).sort()).toEqual([...CASES.keys()].sort());
});

describe.each(AREAS)('%s', (area) => {
  test.each(TABLE.filter((row) => row.area === area))('$name', async (row) => {
    expect(await faultsOf(world, trialOf(row))).toEqual([]);
    const { name, sender, upstream } = row;
    if (process.env.UPDATE_HOSTILE !== '1') expect(outcomeOf(row)).toEqual({ name, sender, upstream });
    passed[area] = (passed[area] ?? 0) + 1;
  });
});

describe('the upstream, after all of them', () => {
  test('got nothing but the requests that it answered', () => {
    const connections = world.recorder.connections();
    for (const { text, arrivals } of connections) expect(text).toBe(arrivals.map(({ raw }) => raw).join(''));
    const all = connections.reduce((total, { arrivals }) => total + arrivals.length, 0);
    expect(all).toBe(world.recorder.arrivals.length);
    expect(all).toBeGreaterThan(TABLE.length);
  });

  test('got none of the requests that a case hides in something else', () => {
    const hidden = world.recorder.arrivals.filter(
      ({ target, body }) => target === '/smuggled' || body === 'smuggled',
    );
    expect(hidden).toEqual([]);
  });

  test('reads them alike with another parser: node:http’s', () => {
    for (const { text, arrivals } of world.recorder.connections()) {
      const oracle = openOracle();
      oracle.feed(Buffer.from(text, 'latin1'));
      expect([oracle.complaint(), oracle.isWhole()]).toEqual([undefined, true]);
      const read = arrivals.map(({ method, target, fields, body }) => ({ method, target, fields, body }));
      expect(oracle.readings()).toEqual(read);
      oracle.close();
    }
  });
});
