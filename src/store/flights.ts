import type { DatabaseSync } from 'node:sqlite';
import type { Settlement } from '../types.ts';
import { bootMs } from './boot-clock.ts';

/**
 * Claims in flight of processes that share the file. The table stays as small as what is in flight: a claim that nobody
 * waits for leaves no outcome.
 */
export const FLIGHTS_SCHEMA = `
  CREATE TABLE flights (
    key TEXT PRIMARY KEY,
    owner INTEGER NOT NULL,
    token INTEGER NOT NULL,
    until REAL NOT NULL, -- by the clock that counts since the system's start
    awaited INTEGER NOT NULL, -- 1: another process waits for the outcome
    outcome TEXT -- NULL: in flight
  ) STRICT, WITHOUT ROWID;
`;

/** How long an overrun claim stays for its owner, and an outcome for those who wait: they look every 50 ms. */
const OVERRUN_MS = 60_000;
const OUTCOME_MS = 10_000;

/** What became of a flight: under way, settled, or void: then nobody delivers the event any more. */
export type FlightState = 'in flight' | 'void' | Settlement;

/** All but `stateOf` belong into a transaction. */
export interface Flights {
  stateOf(key: string): FlightState;
  /** Has the outcome left for this process. */
  awaitOutcome(key: string): void;
  put(key: string, token: number, untilMs: number): void;
  /** Whether nobody else has taken the claim over. */
  isMine(key: string, token: number): boolean;
  /** Ends a flight of this process, unless another has taken it over. */
  end(key: string, token: number, settlement: Settlement): void;
  removeMine(): void;
  sweep(): void;
}

interface Row {
  readonly owner: number;
  readonly token: number;
  readonly until: number;
  readonly outcome: string | null;
}

export function openFlights(database: DatabaseSync, owner: number): Flights {
  const select = database.prepare('SELECT owner, token, until, outcome FROM flights WHERE key = ?');
  const setAwaited = database.prepare('UPDATE flights SET awaited = 1 WHERE key = ?');
  const put = database.prepare('INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?, 0, NULL)');
  const mine = 'key = ? AND owner = ? AND token = ? AND outcome IS NULL';
  const remove = database.prepare(`DELETE FROM flights WHERE ${mine} AND awaited = 0`);
  const settle = database.prepare(`UPDATE flights SET outcome = ?, until = ? WHERE ${mine}`);
  const removeMine = database.prepare('DELETE FROM flights WHERE owner = ? AND outcome IS NULL');
  const sweep = database.prepare(
    'DELETE FROM flights WHERE until < ?1 - ?2 OR (outcome IS NOT NULL AND until NOT BETWEEN ?1 - ?3 AND ?1)',
  );
  const rowOf = (key: string): Row | undefined => select.get(key) as Row | undefined;
  return {
    stateOf(key) {
      const row = rowOf(key);
      if (row === undefined) return 'void';
      if (row.outcome !== null) return JSON.parse(row.outcome) as Settlement;
      return row.until > bootMs() ? 'in flight' : 'void';
    },
    awaitOutcome: (key) => void setAwaited.run(key),
    put: (key, token, untilMs) => void put.run(key, owner, token, untilMs),
    isMine(key, token) {
      const row = rowOf(key);
      return row === undefined || row.outcome !== null || (row.owner === owner && row.token === token);
    },
    end(key, token, settlement) {
      if (remove.run(key, owner, token).changes === 1) return;
      settle.run(JSON.stringify(settlement), bootMs(), key, owner, token);
    },
    removeMine: () => void removeMine.run(owner),
    // What was settled in the future was settled before the system's last start.
    sweep: () => void sweep.run(bootMs(), OVERRUN_MS, OUTCOME_MS),
  };
}

/** Ends what processes had in flight that are not there any more; what is settled stays for those who wait for it. */
export function ownerlessRemover(database: DatabaseSync): () => void {
  const remove = database.prepare(
    'DELETE FROM flights WHERE outcome IS NULL AND owner NOT IN (SELECT id FROM processes)',
  );
  return () => void remove.run();
}
