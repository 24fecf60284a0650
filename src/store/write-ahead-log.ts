import { closeSync, fdatasync as fdatasyncByCallback, fdatasyncSync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { expectInode, inodeOf } from './trouble.ts';

const fdatasync = promisify(fdatasyncByCallback);

/** The state file's write-ahead log, as far as the disk is asked to hold it. */
export class WriteAheadLog {
  readonly #path: string;
  readonly #inode: number | undefined;
  #descriptor: number | undefined;

  /** @param path of the state file, which must be there */
  constructor(path: string) {
    this.#path = path;
    this.#inode = inodeOf(path);
  }

  /** Whether the state file still stands under its name. */
  get isThere(): boolean {
    return inodeOf(this.#path) === this.#inode;
  }

  /** Resolves once the disk has all that was committed before, with why it has not. */
  async confirm(): Promise<Error | undefined> {
    try {
      this.#descriptor ??= openSync(`${this.#path}-wal`, 'r+');
      await Promise.all([fdatasync(this.#descriptor), expectInode(this.#path, this.#inode)]);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  /** @throws Error where the disk does not take the last of it */
  close(): void {
    if (this.#descriptor === undefined) return;
    try {
      fdatasyncSync(this.#descriptor);
    } finally {
      closeSync(this.#descriptor);
      this.#descriptor = undefined;
    }
  }
}
