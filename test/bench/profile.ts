import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const PRINTED_FUNCTIONS = 25;

/** The part of V8's .cpuprofile format that is read here (Chrome DevTools Protocol, Profiler.Profile). */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  /** Monotonic microseconds, the clock of `process.hrtime`. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  /** Function, file and line. */
  readonly name: string;
  readonly us: number;
}

/** One thread's busy time inside the window, by function, the most expensive first. */
export interface ThreadProfile {
  readonly file: string;
  readonly busyUs: number;
  readonly functions: readonly SelfTime[];
}

/** Reads every profile of a folder (one for each thread), counting only samples between the two times. */
export function readProfiles(folder: string, windowUs: readonly [number, number]): ThreadProfile[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.cpuprofile'));
  const threads = files.map((file) => {
    const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile;
    const functions = sumSelfTimes(profile, windowUs);
    return { file, busyUs: functions.reduce((sum, { us }) => sum + us, 0), functions };
  });
  return threads.sort((a, b) => b.busyUs - a.busyUs);
}

function sumSelfTimes(profile: CpuProfile, [fromUs, toUs]: readonly [number, number]): SelfTime[] {
  const names = nameNodes(profile.nodes);
  const totals = new Map<string, number>();
  let atUs = profile.startTime;
  for (const [index, id] of profile.samples.entries()) {
    const us = profile.timeDeltas[index] ?? 0;
    atUs += us;
    const name = names.get(id) ?? '(unknown)';
    if (atUs < fromUs || atUs > toUs || name === '(idle)') continue;
    totals.set(name, (totals.get(name) ?? 0) + us);
  }
  return [...totals].map(([name, us]) => ({ name, us })).sort((a, b) => b.us - a.us);
}

/** What is native has no file of its own (a `write` to a socket or to a log?): it is named with its caller. */
function nameNodes(nodes: CpuProfile['nodes']): ReadonlyMap<number, string> {
  const own = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const callers = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const names = nodes.map(({ id, callFrame }) => {
    const name = own.get(id) ?? '';
    const caller = own.get(callers.get(id) ?? -1);
    const isNative = callFrame.url === '' && !name.startsWith('(');
    return [id, isNative && caller !== undefined ? `${name} < ${caller}` : name] as const;
  });
  return new Map(names);
}

function nameOf(frame: CpuProfile['nodes'][number]['callFrame']): string {
  const name = frame.functionName === '' ? '(anonymous)' : frame.functionName;
  if (frame.url === '') return name;
  return `${name}  ${frame.url.replace(/^.*\/(src|node_modules)\//, '$1/')}:${frame.lineNumber + 1}`;
}

/** Prints the most expensive functions of each thread, in microseconds a request. */
export function printProfiles(threads: readonly ThreadProfile[], requests: number): void {
  for (const { file, busyUs, functions } of threads) {
    console.log(`\n${file}: ${(busyUs / requests).toFixed(1)} us a request; self time, us a request:`);
    for (const { name, us } of functions.slice(0, PRINTED_FUNCTIONS)) {
      console.log(
        `${(us / requests).toFixed(2).padStart(8)} ${((100 * us) / busyUs).toFixed(1).padStart(5)}%  ${name}`,
      );
    }
  }
}
