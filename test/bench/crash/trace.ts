import { closeSync, openSync, readSync } from 'node:fs';

/** What a traced process did to a file, in order. */
export type Operation =
  | { readonly kind: 'write'; readonly file: string; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly file: string; readonly size: number }
  | { readonly kind: 'remove'; readonly file: string }
  /** The disk was asked for all that was done before, and answers with the matching `synced`. */
  | { readonly kind: 'syncing'; readonly file: string; readonly by: string }
  | { readonly kind: 'synced'; readonly file: string; readonly by: string };

const WRITES = 'pwrite64,pwritev,pwritev2,write,writev,ftruncate,truncate,fallocate,copy_file_range';
const SYNCS = 'fdatasync,fsync,sync_file_range';
const NAMES = 'unlink,unlinkat,rename,renameat,renameat2';

/** The command that traces what stands behind it: every change of these files, with its bytes, into `log`. */
export function tracer(files: readonly string[], log: string): readonly string[] {
  const paths = files.flatMap((file) => ['-P', file]);
  const what = ['-e', `trace=${WRITES},${SYNCS},${NAMES}`, '-e', 'signal=none', '-s', '1048576'];
  return ['strace', '-f', '--seccomp-bpf', '-y', '-xx', ...what, ...paths, '-o', log];
}

const CHUNK_BYTES = 1 << 20;

/** The operations in a log of `tracer`. @throws Error where a line says something that is not understood */
export function* readTrace(log: string): Generator<Operation> {
  const begun = new Map<string, string>();
  for (const line of linesOf(log)) {
    const [, by = '', said = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    // What the kill interrupted has no result: it may have been done or not, and nobody was told.
    if (/^$|^\+\+\+|^---|<detached \.\.\.>$/.test(said)) continue;
    if (said.endsWith('<unfinished ...>')) {
      const start = said.slice(0, -'<unfinished ...>'.length).trimEnd();
      begun.set(by, start);
      yield* syncing(start, by);
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(said);
    if (resumed === null) yield* syncing(said, by);
    const whole = resumed === null ? said : `${begun.get(by)}${resumed[1]}`;
    yield* finished(whole, by);
  }
}

function* syncing(call: string, by: string): Generator<Operation> {
  const [, file] = /^f(?:data)?sync\(\d+<([^>]+)>/.exec(call) ?? [];
  if (file !== undefined) yield { kind: 'syncing', file: decoded(file).toString(), by };
}

/** One whole call with its result. */
function* finished(call: string, by: string): Generator<Operation> {
  const [, name = '', inner = '', result = ''] = /^(\w+)\((.*)\) += (\?|-?\d+)/.exec(call) ?? [];
  const [, descriptor = ''] = /^\d+<([^>]+)>/.exec(inner) ?? [];
  const file = decoded(descriptor).toString();
  const count = Number(result);
  if (result === '?' || count < 0) return;
  if (name === 'fdatasync' || name === 'fsync') yield { kind: 'synced', file, by };
  else if (name === 'pwrite64') {
    const [, bytes = '', at] = /, "([^"]*)", \d+, (\d+)$/.exec(inner) ?? [];
    yield { kind: 'write', file, at: Number(at), bytes: decoded(bytes).subarray(0, count) };
  } else if (name === 'ftruncate') {
    yield { kind: 'truncate', file, size: Number(/, (\d+)$/.exec(inner)?.[1]) };
  } else if (name === 'unlink') {
    yield { kind: 'remove', file: decoded(/^"([^"]*)"/.exec(inner)?.[1] ?? '').toString() };
  } else throw new Error(`what became of the file is not understood: ${call.slice(0, 200)}`);
}

/** From strace's `\x41\x42`. */
function decoded(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex');
}

function* linesOf(log: string): Generator<string> {
  const file = openSync(log, 'r');
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let rest = '';
  try {
    for (let count = readSync(file, chunk); count > 0; count = readSync(file, chunk)) {
      const lines = (rest + chunk.toString('latin1', 0, count)).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } finally {
    closeSync(file);
  }
}
