/** The reader of standard output (`| head`) has seen enough. */
export class ReaderGone extends Error {}

/**
 * Writes to standard output and waits until it is taken, so that a slow reader holds up the writer and not the memory.
 * @throws ReaderGone where nobody reads any more
 */
export function write(data: string | Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, (error) => (error ? reject(new ReaderGone()) : resolve()));
  });
}
