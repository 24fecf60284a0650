import type { QuickJSContext, QuickJSHandle, QuickJSWASMModule } from 'quickjs-emscripten-core';
import { HANDLER, PRELUDE } from './guest.ts';
import type { Job, Made, Script, ScriptFault } from './job.ts';

/** The interpreter's own stack: what recursion may take. */
const STACK_BYTES = 256 * 1024;
const LONGEST_DETAIL = 300;
const CHECK_NAME = 'script.js';

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

/** @returns what a script makes of a message */
export function transform(quickjs: QuickJSWASMModule, job: Job): Made {
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

/** @returns why a script cannot be used; `undefined`: it can */
export function inspect(quickjs: QuickJSWASMModule, script: Pick<Script, 'source'>): ScriptFault | undefined {
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
