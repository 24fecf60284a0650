import { readFileSync } from 'node:fs';

/** One delivery as the upstream wrote it down. */
export interface Taken {
  readonly id: string;
  /** What `X-Postern-Attempt` said. */
  readonly attempt: number;
  /** Which process delivered it; no two of a run have the same name, the one that follows after a kill included. */
  readonly gateway: string;
  /** Monotonic microseconds, the same clock for all processes of this machine. */
  readonly atUs: number;
  /** What it is answered, once it is written down. */
  readonly status: number;
}

/** A delivery with the time of its answer; `undefined`: there was none. */
export interface Delivery extends Taken {
  readonly answeredUs: number | undefined;
}

export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

export function lineOf({ atUs, id, attempt, gateway, status }: Taken): string {
  return `${atUs} ${id} ${attempt} ${gateway} ${status}\n`;
}

/** All deliveries that the upstream wrote down, in the order in which they came. */
export function readRecord(file: string): Delivery[] {
  const answered = new Map<string, number>();
  for (const [atUs, id, us] of wordsIn(`${file}-answers`)) answered.set(`${atUs} ${id}`, Number(us));
  return wordsIn(file).map(([atUs = '', id = '', attempt, gateway = '', status]) => ({
    id,
    attempt: Number(attempt),
    gateway,
    atUs: Number(atUs),
    status: Number(status),
    answeredUs: answered.get(`${atUs} ${id}`),
  }));
}

function wordsIn(file: string): string[][] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => line.split(' '));
}
