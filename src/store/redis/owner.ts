import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';

/**
 * Who holds a claim or a lock: a process of a machine, and which store of it. On the machine itself one can tell
 * whether that process is gone, so nobody there has to wait for what a dead process held.
 */
export interface Owner {
  /** `machine.pid.start.process.store`: what a token begins with; no colon in it. */
  readonly name: string;
  /** Whether the owner of this name is certainly gone. Of a process on another machine nobody here can tell. */
  isGone(name: string): boolean;
  /** What this owner held is void from now on. */
  end(): void;
}

/** Of this process alone, so that an earlier one with its number is not taken for it. */
const PROCESS = randomUUID();
const MACHINE = machineName();
const START = startOf('self') ?? '';
const stores = new Set<string>();
let lastStore = 0;

export function openOwner(): Owner {
  lastStore += 1;
  const store = String(lastStore);
  stores.add(store);
  return {
    name: `${MACHINE}.${process.pid}.${START}.${PROCESS}.${store}`,
    isGone,
    end: () => stores.delete(store),
  };
}

function isGone(name: string): boolean {
  const [machine, pid, start, itself, store] = name.split('.');
  if (machine !== MACHINE || !/^\d+$/.test(pid ?? '')) return false;
  if (itself === PROCESS) return !stores.has(store ?? '');
  if (Number(pid) === process.pid || !isAlive(Number(pid))) return true;
  // The number may have been given to another process since.
  const startNow = startOf(pid as string);
  return startNow !== undefined && start !== '' && startNow !== start;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/**
 * The machine since its last start, and the namespace in which process numbers mean something: two containers of one
 * machine may both be process 1. Where the system does not tell, a name that no other process has.
 */
function machineName(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return `${boot}-${/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0]}`;
  } catch {
    return randomUUID();
  }
}

/** Field 22 of proc_pid_stat(5): when the process started, in ticks since the machine did. */
function startOf(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
