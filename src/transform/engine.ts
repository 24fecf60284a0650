import { readFile } from 'node:fs/promises';
import { Script as HostScript } from 'node:vm';
import variant from '@jitl/quickjs-wasmfile-release-sync';
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSSyncVariant,
  type QuickJSWASMModule,
} from 'quickjs-emscripten-core';
import { parseMessage } from '../message.ts';
import { HANDLER, PRELUDE } from './guest.ts';
import type { Job, Made, Script, ScriptFault } from './job.ts';

/** What of WebAssembly is used; its types come with those of browsers only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Buffer) => object;
  readonly Memory: new (pages: { readonly initial: number; readonly maximum: number }) => object;
};

/** WebAssembly counts memory in these (64 KiB), and the interpreter asks for as many at its start. */
const PAGE_BYTES = 65_536;
const FIRST_PAGES = 256;
/** The interpreter's own stack; the limit of what recursion may take. */
const STACK_BYTES = 256 * 1024;
/** At the start there is time: a script that does not end is found all the same. */
const CHECK_MS = 1000;
/** How much longer a script may be under way that was not given the processor. */
const PATIENCE = 4;
const WARM = { source: 'function handler(webhook) { return webhook; }' };
const LONGEST_DETAIL = 300;
const CHECK_NAME = 'script.js';

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

/** A fresh context for each message: nothing of one client's event is left for another's. */
function inContext<T>(quickjs: QuickJSWASMModule, work: (context: QuickJSContext) => T): T {
  const runtime = quickjs.newRuntime();
  runtime.setMaxStackSize(STACK_BYTES);
  const context = runtime.newContext();
  const done = work(context);
  // Not in a `finally`: an interpreter that was cut off must not be entered again.
  context.dispose();
  runtime.dispose();
  return done;
}

class GuestError extends Error {
  override readonly name = 'GuestError';
  readonly stackText: string;

  constructor(message: string, stackText: string) {
    super(message);
    this.stackText = stackText;
  }
}

function transform(quickjs: QuickJSWASMModule, job: Job): Made {
  return inContext(quickjs, (context) => {
    try {
      return madeOf(execute(context, job.script, job));
    } catch (error) {
      if (error instanceof GuestError)
        return { kind: 'failed', detail: `${error.message}${placeOf(error, job.script.name)}` };
      throw error;
    }
  });
}

function madeOf(text: string): Made {
  if (text === '') return { kind: 'failed', detail: NO_HANDLER };
  if (text === 'cancelled') return { kind: 'cancelled' };
  const [method = '', length = ''] = text.split('\n', 2);
  const start = method.length + length.length + 2;
  const url = text.slice(start, start + Number(length));
  return { kind: 'webhook', method, url, payload: text.slice(start + url.length) || undefined };
}

const NO_HANDLER = 'it defines no function handler; write function handler(webhook) { … return webhook; }';

function inspect(quickjs: QuickJSWASMModule, script: Pick<Script, 'source'>): ScriptFault | undefined {
  return inContext(quickjs, (context) => {
    try {
      const text = execute(context, script, undefined);
      return text === '' ? { line: 1, column: 1, sentence: NO_HANDLER } : undefined;
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      const [, line, column] = PLACE.exec(error.stackText) ?? [];
      return { line: Number(line ?? 1), column: Number(column ?? 1), sentence: error.message };
    }
  });
}

const PLACE = /\bscript\.js:(\d+):(\d+)/;

function placeOf({ stackText }: GuestError, name: string): string {
  const [, line, column] = PLACE.exec(stackText) ?? [];
  return line === undefined ? '' : ` (${name}:${line}:${column})`;
}

/** @returns what the guest's own code makes of the script's answer */
function execute(context: QuickJSContext, { source }: Pick<Script, 'source'>, job: Job | undefined): string {
  const own: QuickJSHandle[] = [];
  const keep = (handle: QuickJSHandle): QuickJSHandle => {
    own.push(handle);
    return handle;
  };
  const take = (result: ReturnType<QuickJSContext['evalCode']>): QuickJSHandle => {
    if (result.error === undefined) return keep(result.value);
    throw guestError(context, keep(result.error));
  };
  try {
    const prelude = take(context.evalCode(PRELUDE, 'postern.js'));
    const body = job === undefined ? context.undefined : keep(context.newString(textOf(job.body)));
    const receivedMs = keep(context.newNumber(job?.receivedMs ?? 0));
    const finish = take(context.callFunction(prelude, context.undefined, body, receivedMs));
    take(context.evalCode(source, CHECK_NAME, { type: 'global' }));
    const handler = take(context.evalCode(HANDLER, 'postern.js'));
    const method = keep(context.newString(job?.method ?? 'POST'));
    const url = keep(context.newString(job?.url ?? '/'));
    return context.getString(take(context.callFunction(finish, context.undefined, handler, method, url)));
  } finally {
    for (const handle of own.reverse()) handle.dispose();
  }
}

function textOf(body: Uint8Array): string {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
}

/** What was thrown may be anything, and reading it may throw again or never end: the watch is still on. */
function guestError(context: QuickJSContext, error: QuickJSHandle): GuestError {
  const read = (name: string): string => {
    if (context.typeof(error) !== 'object') return '';
    const handle = context.getProp(error, name);
    const text = context.typeof(handle) === 'string' ? context.getString(handle) : '';
    handle.dispose();
    return text;
  };
  let words = 'it threw something';
  let stack = '';
  try {
    const message = read('message');
    if (context.typeof(error) === 'string') words = `it threw ${JSON.stringify(context.getString(error))}`;
    else if (message !== '') words = `${read('name') || 'Error'}: ${message}`;
    stack = read('stack');
  } catch {
    // Its getters throw too; that it failed is all there is to say.
  }
  return new GuestError(words.replace(/[\x00-\x1f\x7f]+/g, ' ').slice(0, LONGEST_DETAIL), stack);
}
