import { dirname, join, resolve } from 'node:path';
import type { z } from 'zod';
import type { TransformSettings } from '../settings.ts';
import type { Path } from './document.ts';
import { fileTrouble } from './files.ts';
import { either, section } from './issues.ts';
import type { Report } from './problems.ts';
import { duration, size, text } from './values.ts';

const EXPECTED =
  'the path of a script such as transforms/ledger.js, or a mapping with file, timeout and memory';
/** As the interpreter asks for at its start. */
const LEAST_BYTES = 16 * 1024 * 1024;
const MOST_BYTES = 1024 * 1024 * 1024;
/** A claim, and a lease of the queue, must outlive the script that their event goes through. */
const LONGEST_MS = 1000;
const LARGEST_SCRIPT_BYTES = 1024 * 1024;

const long = section(
  {
    file: text('the path of a script such as transforms/ledger.js').describe(
      'The script, a path relative to this file: function handler(webhook), as in the portal of Codat.',
    ),
    timeout: duration().prefault('50ms').describe('How long the script may run for one message; at most 1s.'),
    memory: size()
      .prefault('16MiB')
      .describe('What the script may take up for one message, its interpreter included; at least 16MiB.'),
  },
  'a mapping with file, timeout and memory',
);

/** What is made of a message before it is delivered. */
export const transformSchema = either([text(EXPECTED), long], EXPECTED);

/** Reads the script; whether it can be run is seen later. @returns `undefined` where there is none, or it is reported */
export function readTransform(
  given: z.output<typeof transformSchema> | undefined,
  path: Path,
  report: Report,
): TransformSettings | undefined {
  if (given === undefined) return undefined;
  const { file, timeout, memory } = typeof given === 'string' ? long.parse({ file: given }) : given;
  if (memory < LEAST_BYTES || memory > MOST_BYTES) {
    report.add([...path, 'memory'], 'must be from 16MiB (the interpreter needs as much) to 1GiB');
    return undefined;
  }
  if (timeout > LONGEST_MS) {
    report.add(
      [...path, 'timeout'],
      'must be 1s at most: the sender, and every other message, waits as long',
    );
    return undefined;
  }
  const where = typeof given === 'string' ? path : [...path, 'file'];
  try {
    const bytes = report.source.read(resolve(report.source.folder, file));
    if (bytes.length > LARGEST_SCRIPT_BYTES) {
      report.add(where, 'a script is read up to 1MiB; give a smaller one');
      return undefined;
    }
    const source = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const name = join(dirname(report.source.name), file);
    return { name, source, timeoutMs: timeout, memoryBytes: memory };
  } catch (error) {
    const trouble = error instanceof TypeError ? 'it is not UTF-8 text' : fileTrouble(error);
    report.add(where, `cannot read ${resolve(report.source.folder, file)}: ${trouble}`);
    return undefined;
  }
}
