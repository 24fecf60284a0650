import { readFile } from 'node:fs/promises';
import { Script as HostScript } from 'node:vm';
import variant from '@jitl/quickjs-wasmfile-release-sync';
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSSyncVariant,
  type QuickJSWASMModule,
} from 'quickjs-emscripten-core';
import { parseMessage } from '../message.ts';
import { inspect, transform } from './context.ts';
import type { Job, Made, Script, ScriptFault } from './job.ts';

/** What of WebAssembly is used; its types come with those of browsers only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Buffer) => object;
  readonly Memory: new (pages: { readonly initial: number; readonly maximum: number }) => object;
};

/** WebAssembly counts memory in these (64 KiB), and the interpreter asks for as many at its start. */
const PAGE_BYTES = 65_536;
const FIRST_PAGES = 256;
/** At the start there is time: a script that does not end is found all the same. */
const CHECK_MS = 1000;
/** How much longer a script may be under way that was not given the processor. */
const PATIENCE = 4;
const WARM = { source: 'function handler(webhook) { return webhook; }' };

/** Runs scripts, one message at a time, in the thread that it was made in. */
export interface Engine {
  run(job: Job): Promise<Made>;
  /** Runs a script as far as it goes without a message. @returns what is wrong with it; `undefined`: nothing */
  check(script: Script): Promise<ScriptFault | undefined>;
}

type Limits = Pick<Script, 'timeoutMs' | 'memoryBytes'>;

/** Loads the interpreter: QuickJS in WebAssembly, which reaches nothing but its own memory. */
export async function openEngine(): Promise<Engine> {
  const wasm = new WebAssembly.Module(
    await readFile(new URL(import.meta.resolve('@jitl/quickjs-wasmfile-release-sync/wasm'))),
  );
  const kept = new Map<number, QuickJSWASMModule>();

  async function interpreter(pages: number): Promise<QuickJSWASMModule> {
    const found = kept.get(pages);
    if (found !== undefined) return found;
    // QuickJS's own memory limit counts nothing when it is compiled by Emscripten; the end of the memory itself holds.
    const wasmMemory = new WebAssembly.Memory({ initial: FIRST_PAGES, maximum: pages });
    const made = await newQuickJSWASMModuleFromVariant(
      newVariant(variant as unknown as QuickJSSyncVariant, { wasmModule: wasm, wasmMemory } as object),
    );
    kept.set(pages, made);
    return made;
  }

  /** @returns what `work` returns, or a sentence on why it was cut off; the interpreter is not used again then */
  async function within<T>(
    { timeoutMs, memoryBytes }: Limits,
    work: (quickjs: QuickJSWASMModule) => T,
    isAgain = false,
  ): Promise<T | string> {
    const pages = Math.max(FIRST_PAGES, Math.floor(memoryBytes / PAGE_BYTES));
    const quickjs = await interpreter(pages);
    const before = process.threadCpuUsage();
    try {
      return underWatch(isAgain ? timeoutMs * PATIENCE : timeoutMs, () => work(quickjs));
    } catch (error) {
      kept.delete(pages);
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT')
        return `the interpreter gave up: ${error}`;
      const { user, system } = process.threadCpuUsage(before);
      // The machine was busy with others: that is no fault of the script, which had not the time it may take.
      if (!isAgain && (user + system) / 1000 < timeoutMs / 2)
        return within({ timeoutMs, memoryBytes }, work, true);
      return `it ran longer than ${timeoutMs} ms and was ended`;
    }
  }

  // What is compiled at the first use must not be the time of the first message.
  await within({ timeoutMs: CHECK_MS, memoryBytes: 0 }, (quickjs) => inspect(quickjs, WARM));

  return {
    async run(job) {
      const message = parseMessage(Buffer.from(job.body.buffer, job.body.byteOffset, job.body.byteLength));
      if (message instanceof Error) return { kind: 'malformed', detail: message.message };
      const made = await within(job.script, (quickjs) => transform(quickjs, job));
      return typeof made === 'string' ? { kind: 'failed', detail: made } : made;
    },
    async check(script) {
      const fault = await within({ ...script, timeoutMs: Math.max(script.timeoutMs, CHECK_MS) }, (quickjs) =>
        inspect(quickjs, script),
      );
      return typeof fault === 'string' ? { line: 1, column: 1, sentence: fault } : fault;
    },
  };
}

const WATCHED = new HostScript('globalThis[Symbol.for("postern.watched")]()');

/**
 * Ends `work` when its time is up, wherever it is: a thread of Node's own stops this one. QuickJS asks an interrupt
 * handler between steps only, and one step (a search in a long text, a join) may take minutes.
 */
function underWatch<T>(timeoutMs: number, work: () => T): T {
  const key = Symbol.for('postern.watched');
  const globals = globalThis as unknown as Record<symbol, unknown>;
  globals[key] = work;
  try {
    return WATCHED.runInThisContext({ timeout: timeoutMs }) as T;
  } finally {
    delete globals[key];
  }
}
