import { readdirSync, readFileSync } from 'node:fs';

/** What the scheduler says of a process: seconds on a CPU, and seconds ready to run while others had it. */
export interface CpuTime {
  readonly usedSeconds: number;
  readonly waitedSeconds: number;
}

/**
 * The sum over the living threads of a process, from the scheduler's own nanosecond counts (schedstat, first and
 * second field). Throws when the process is gone.
 */
export function readCpuTime(pid: number): CpuTime {
  let usedNs = 0;
  let waitedNs = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [used, waited] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    usedNs += Number(used);
    waitedNs += Number(waited);
  }
  return { usedSeconds: usedNs / 1e9, waitedSeconds: waitedNs / 1e9 };
}

/** Resident memory of a process in KiB. Throws when the process is gone. */
export function readRssKib(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (line === null) throw new Error(`process ${pid} has no resident memory: it has ended`);
  return Number(line[1]);
}

/** How many files a process started from here may open. */
export function readFileLimit(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  return Number(line?.[1] ?? 1024);
}

/** The middle value; of an even count, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  return (lower + upper) / 2;
}
