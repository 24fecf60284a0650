import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** One byte stream that a sender might send: valid, or hostile. */
export interface CorpusCase {
  /** The file's name without `.http`. */
  readonly name: string;
  readonly bytes: Buffer;
}

export const CORPUS_FOLDER = fileURLToPath(new URL('../corpus/front/', import.meta.url));

/** What the fuzzer writes is named so, until somebody has understood it and gives it a name that says what it is. */
export const FOUND = 'found-';

/** Every case of the corpus, in the order of the names. */
export function readCorpus(): CorpusCase[] {
  return readdirSync(CORPUS_FOLDER)
    .filter((file) => file.endsWith('.http'))
    .sort()
    .map((file) => ({ name: file.slice(0, -5), bytes: readFileSync(CORPUS_FOLDER + file) }));
}
