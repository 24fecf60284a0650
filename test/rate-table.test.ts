import { expect, test } from 'vitest';
import { rateCheck } from '../src/check/rate.ts';
import { RateTable } from '../src/check/rate-table.ts';
import { RateTables } from '../src/check/rate-tables.ts';
import type { RateLimit } from '../src/settings.ts';
import type { Head, Verdict } from '../src/types.ts';

const LARGEST = 1 << 20;

test('a million distinct keys stay within the largest table, and then new keys are refused', () => {
  const table = new RateTable(LARGEST);
  let refused = 0;
  for (let count = 0; count < 1_500_000; count += 1) {
    const slot = table.slotOf(`key ${count}`, 0);
    if (slot < 0) refused += 1;
    else table.setArrival(slot, 1);
  }
  expect(table.size).toBe(LARGEST);
  expect(refused).toBeGreaterThan(1_500_000 - LARGEST - 1);
});

test('a busy key keeps its time while the table grows around it', () => {
  const table = new RateTable(LARGEST);
  table.setArrival(table.slotOf('the key', 0), 12_345);
  for (let count = 0; count < 100_000; count += 1) table.setArrival(table.slotOf(`key ${count}`, 0), 1);
  expect(table.arrivalAt(table.slotOf('the key', 0))).toBe(12_345);
});

test('keys that are idle again leave their slots to others: nothing grows', () => {
  const table = new RateTable(LARGEST);
  for (let nowMs = 0; nowMs < 500_000; nowMs += 1)
    table.setArrival(table.slotOf(`key ${nowMs}`, nowMs), nowMs + 50);
  expect(table.size).toBe(1024);
});

test('one /64 of IPv6 is one address', () => {
  const limit: RateLimit = {
    count: 1,
    perMs: 3_600_000,
    burst: 1,
    key: { by: 'address' },
    waitMs: 0,
    waiting: 0,
    mode: 'enforce',
  };
  const check = rateCheck(limit, new RateTables().take('a', 0, limit), Number.POSITIVE_INFINITY);
  const from = (addressValue: bigint): Verdict =>
    check.examine({ peer: { address: 'unused', addressValue } } as unknown as Head);
  const network = 0x2001_0db8_0000_0001n << 64n;
  expect(from(network + 1n).reason).toBeUndefined();
  expect(from(network + 2n).reason).toBe('rate.exceeded');
  expect(from(network + (1n << 64n)).reason).toBeUndefined();
});
